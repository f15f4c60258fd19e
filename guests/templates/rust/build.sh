set -euo pipefail
cd "$(dirname "$0")"

target=wasm32-unknown-unknown
if [ ! -d "$(rustc --print sysroot)/lib/rustlib/$target" ]; then
  rustup target add "$target"
fi
out="${CARGO_TARGET_DIR:-target}"
cargo build --release --locked --target "$target" --target-dir "$out"
"${ROUTIR_RT:-routir-rt}" ext wrap "$out/$target/release/extension.wasm" \
  --world "$world" --output my-extension.wasm
