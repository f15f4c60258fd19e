set -euo pipefail
cd "$(dirname "$0")"

if [ ! -x .tools/bin/componentize-py ]; then
  python3 -m venv .tools
  .tools/bin/pip install --quiet componentize-py==0.25.1
fi
.tools/bin/componentize-py --wit-path wit --world "$world" componentize --stub-wasi extension \
  --output my-extension.wasm
