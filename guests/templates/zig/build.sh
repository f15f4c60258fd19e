set -euo pipefail
cd "$(dirname "$0")"

if ! .tools/bin/python -c 'import ziglang' 2>/dev/null; then
  python3 -m venv .tools
  .tools/bin/pip install --quiet ziglang==0.17.0
fi
zig() { ../.tools/bin/python -m ziglang "$@"; }
mkdir -p build
cp extension.zig build/
cd build
[ "$world.zig" -nt "../bindings/$world.h" ] || {
  echo "translating the bindings, which takes most of a minute the first time"
  zig translate-c -lc -target wasm32-wasi "../bindings/$world.h" >"$world.new"
  mv "$world.new" "$world.zig"
}
zig build-exe extension.zig "../bindings/$world.c" -I ../bindings -lc -target wasm32-wasi \
  -mexec-model=reactor -fno-entry -rdynamic -OReleaseSmall -fstrip --stack 65536 \
  -femit-bin=core.wasm
cd ..
"${ROUTIR_RT:-routir-rt}" ext wrap build/core.wasm --world "$world" --output my-extension.wasm
