#!/usr/bin/env bash
# Builds what run.sh needs and packs it, for a machine with a GPU and without Rust, Python or a network:
#
#   tests/gpu/pack.sh [--pipeline] [ARCHIVE]      ARCHIVE is target/gpu.tar.gz unless given
#
# There: tar -xzf gpu.tar.gz && gpu/tests/gpu/run.sh. The archive has the program that verifies and
# measures, NVRTC, and run.sh; with --pipeline also the one that measures models, which takes long to
# build. It is for machines of this one's kind, with no older C library than the one told at the end.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH="$PATH:$HOME/.cargo/bin"

examples=(routir-device/gpu)
if [ "${1:-}" = --pipeline ]; then
  examples+=(routir-engines/pipeline)
  shift
fi
archive=${1:-target/gpu.tar.gz}
nvrtc=${ROUTIR_NATIVE:-$PWD/.cache/native}/nvrtc
./runtime/device/kernels/setup.sh "$nvrtc"
work=target/gpu-pack
rm -rf "$work"
mkdir -p "$work/gpu/bin" "$work/gpu/tests/gpu" "$work/gpu/native"
for example in "${examples[@]}"; do
  cargo build --release --locked --package "${example%/*}" --example "${example#*/}"
  strip -o "$work/gpu/bin/${example#*/}" "target/release/examples/${example#*/}"
done
cp tests/gpu/run.sh "$work/gpu/tests/gpu/"
cp -r "$nvrtc" "$work/gpu/native/"
# The archive is whole or not there.
tar -C "$work" -czf "$archive.new" gpu
mv "$archive.new" "$archive"
rm -r "$work"
needed=$(grep -aoh 'GLIBC_2\.[0-9]*' target/release/examples/gpu | sort -t. -k2 -n | tail -n 1)
echo "gpu: $archive, $(du -h "$archive" | cut -f1), for $(uname -m) and ${needed:-some C library}"
