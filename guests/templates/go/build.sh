set -euo pipefail
cd "$(dirname "$0")"

mkdir -p build
GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -ldflags='-s -w -checklinkname=0' \
  -o build/core.wasm .
"${ROUTIR_RT:-routir-rt}" ext wrap build/core.wasm --world "$world" --output my-extension.wasm
