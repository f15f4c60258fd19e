set -euo pipefail
cd "$(dirname "$0")"

[ -x node_modules/.bin/esbuild ] || npm install --silent --no-audit --no-fund
mkdir -p build
node_modules/.bin/esbuild extension.ts --bundle --format=esm '--external:routir:*' \
  --log-level=warning --outfile=build/extension.js
node_modules/.bin/componentize-qjs --wit wit --world "$world" --sync --stub-wasi \
  --js build/extension.js --output my-extension.wasm
