set -euo pipefail
cd "$(dirname "$0")"

if ! .tools/bin/python -c 'import ziglang' 2>/dev/null; then
  python3 -m venv .tools
  .tools/bin/pip install --quiet ziglang==0.17.0
fi
.tools/bin/python -m ziglang cc -target wasm32-wasi -mexec-model=reactor -O2 -s -Wall -Wextra \
  -Wl,-z,stack-size=65536 -I bindings extension.c "bindings/$world.c" -o .tools/core.wasm
"${ROUTIR_RT:-routir-rt}" ext wrap .tools/core.wasm --world "$world" --output my-extension.wasm
