set -euo pipefail
cd "$(dirname "$0")"

[ -x node_modules/.bin/componentize-qjs ] || npm install --silent --no-audit --no-fund
node_modules/.bin/componentize-qjs --wit wit --world "$world" --sync --stub-wasi \
  --js extension.js --output my-extension.wasm
