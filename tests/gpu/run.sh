#!/usr/bin/env bash
# Verifies every kernel on the GPU of this machine against the processor, that 10,000 batches leave no
# memory behind, and measures exact search, PQ, MaxSim and pooling beside what the device copies and
# multiplies at most; then compares and measures an encoder and the way from a query's text to its
# ranking:
#
#   tests/gpu/run.sh [--json FILE] [--vectors N] [--verify-only]
#
# Before, where compute-sanitizer is installed, it looks for wrong accesses and races in the kernels.
# Between, where there are cargo and the tiny models, it compares engines with their indices on the GPU
# with the same on the processor: PLAIDX, and dense ones. Prints a table and writes JSON, to
# target/gpu.json unless told. Needs a driver, Rust, and NVRTC, which it installs if it can. With 10
# million vectors of 768 numbers it takes 16 GB of the device and some minutes. Without a GPU it says
# why it was skipped and exits with 69. Over the stand-in for the driver (runtime/device/emulator/driver)
# it only verifies, with --verify-only, and leaves models out. The model is that of configs/models/setup.sh or of
# ROUTIR_GPU_MODEL (its graph ROUTIR_GPU_FILE), run by the ONNX Runtime with CUDA that
# ROUTIR_GPU_ONNXRUNTIME names or a server finds; without a model that part is skipped.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH="$HOME/.cargo/bin:$PATH"

unavailable=69
skip() {
  echo "gpu: SKIPPED: $*" >&2
  exit "$unavailable"
}

has_driver() {
  local folder folders
  [[ $(ldconfig -p 2>/dev/null) == *libcuda.so.1* ]] && return
  IFS=: read -r -a folders <<<"${LD_LIBRARY_PATH:-}"
  for folder in /usr/lib* /usr/lib/* /usr/local/nvidia/lib* ${folders[@]+"${folders[@]}"}; do
    [ -e "$folder/libcuda.so.1" ] && return
  done
  return 1
}
has_driver || skip "there is no driver (libcuda.so.1) on this machine"
./runtime/device/kernels/setup.sh || [ $? -eq 69 ]
arguments=("$@")
[[ " $* " == *" --json "* ]] || arguments+=(--json target/gpu.json)
example=target/release/examples/gpu
if command -v cargo >/dev/null; then
  cargo build --release --locked --package routir-device --example gpu
elif [ ! -x "$example" ]; then
  skip "there is neither cargo nor $example"
fi
export ROUTIR_NATIVE=${ROUTIR_NATIVE:-$PWD/.cache/native}

name=$("$example" --name) || exit $?
stand_in=
if [[ $name == *stand-in* ]]; then
  stand_in=yes
  echo "gpu: NOT A GPU: $name" >&2
  if [[ " $* " != *" --verify-only "* ]]; then
    echo "gpu: nothing is measured on it; give --verify-only" >&2
    exit 1
  fi
fi
if [ -n "$stand_in" ]; then
  echo "gpu: wrong accesses and races are not looked for: there is no GPU" >&2
elif command -v compute-sanitizer >/dev/null; then
  for tool in memcheck racecheck synccheck initcheck; do
    echo "gpu: compute-sanitizer --tool $tool"
    compute-sanitizer --tool "$tool" --error-exitcode 1 "$example" --small-only
  done
else
  echo "gpu: compute-sanitizer is not installed: wrong accesses and races are not looked for" >&2
fi
"$example" "${arguments[@]}"
if command -v cargo >/dev/null; then
  cargo test --locked --package routir-engines --test devices on_a_gpu -- --nocapture
else
  echo "gpu: there is no cargo: engines are not compared" >&2
fi

if [ -n "$stand_in" ]; then
  echo "gpu: SKIPPED: models, which no stand-in runs; NOT A GPU: $name" >&2
  exit 0
fi

# The encoder, and the way from a query's text to its ranking.
model=${ROUTIR_GPU_MODEL:-.cache/models/minilm}
if [ ! -f "$model/tokenizer.json" ]; then
  echo "gpu: SKIPPED: models: there is no $model; run configs/models/setup.sh" >&2
  exit 0
fi
pipeline=target/release/examples/pipeline
if command -v cargo >/dev/null; then
  cargo build --release --locked --package routir-engines --example pipeline
elif [ ! -x "$pipeline" ]; then
  echo "gpu: SKIPPED: models: there is neither cargo nor $pipeline" >&2
  exit 0
fi
[ -z "${ROUTIR_GPU_FILE:-}" ] || arguments+=(--file "$ROUTIR_GPU_FILE")
[ -z "${ROUTIR_GPU_ONNXRUNTIME:-}" ] || arguments+=(--onnxruntime "$ROUTIR_GPU_ONNXRUNTIME")
exec "$pipeline" --model "$model" --device cuda "${arguments[@]}"
