#!/bin/bash
# Fuzzes the loader and the conversion layer: `run.sh [minutes per target] [targets...]`.
# Needs a nightly compiler and cargo-fuzz (`cargo install cargo-fuzz`).
set -euo pipefail
cd "$(dirname "$0")"
minutes=${1:-10}
shift || true
targets=("$@")
((${#targets[@]})) || targets=(loader mutant code conversion)

cargo +nightly fuzz --version >/dev/null 2>&1 || {
  echo "cargo-fuzz is missing: cargo install cargo-fuzz; rustup toolchain install nightly" >&2
  exit 1
}
corpus=$(realpath -m "${CARGO_TARGET_DIR:-target}")/corpus
for target in "${targets[@]}"; do
  mkdir -p "$corpus/$target"
  [[ ! -d seeds/$target ]] || cp seeds/"$target"/* "$corpus/$target/"
done
if [[ " ${targets[*]} " == *" loader "* ]]; then
  # Every hostile guest, made a component.
  ROUTIR_FUZZ_SEEDS=$corpus/loader cargo test --quiet --manifest-path ../Cargo.toml --test evil -- \
    --ignored --exact seeds >/dev/null
fi
for target in "${targets[@]}"; do
  echo "fuzzing $target for $minutes minutes"
  # A guest's memory is reserved in gigabytes and touched in pages: limit what is resident.
  cargo +nightly fuzz run --sanitizer none "$target" "$corpus/$target" -- \
    -max_total_time="$((minutes * 60))" -max_len=16384 -timeout=20 -rss_limit_mb=4096 -print_final_stats=1
done
