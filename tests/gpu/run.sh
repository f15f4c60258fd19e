#!/usr/bin/env bash
# Verifies every kernel on the GPU of this machine against the processor, that 10,000 batches leave no
# memory behind, and measures exact search, PQ, MaxSim and pooling beside what the device copies and
# multiplies at most; then looks for wrong accesses and races, and compares and measures an encoder and
# the way from a query's text to its ranking:
#
#   tests/gpu/run.sh [--json FILE] [--vectors N] [--verify-only]
#
# Prints a table and writes JSON, to target/gpu.json unless told. What differs from the processor is
# told, the rest is measured nevertheless, and the script fails at its end. Needs a driver, NVRTC, and
# Rust or what pack.sh built: out of its archive, this runs without Rust, Python or a network. With 10
# million vectors of 768 numbers it takes 16 GB of the device and some minutes. Without a GPU it says
# why it was skipped and exits with 69. Over the stand-in for the driver (runtime/device/emulator/driver)
# it only verifies, with --verify-only, and leaves models out.
#
# Where compute-sanitizer is installed, its four tools run the small checks, for at most
# ROUTIR_GPU_SANITIZE seconds each (240; 0 is none). Where there are cargo and the tiny models, engines
# with their indices on the GPU are compared with the same on the processor: PLAIDX, and dense ones. The
# model that is measured is that of configs/models/setup.sh or of ROUTIR_GPU_MODEL (its graph
# ROUTIR_GPU_FILE), run by the ONNX Runtime with CUDA that ROUTIR_GPU_ONNXRUNTIME names or a server
# finds; without a model that part is skipped.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH="$PATH:$HOME/.cargo/bin"

unavailable=69
skip() {
  echo "gpu: SKIPPED: $*" >&2
  exit "$unavailable"
}
# What follows the first failure is done, too.
failed=0
failed() {
  echo "gpu: FAILED: $*" >&2
  failed=1
}

# The driver's library, where the loader finds it or where machines have it beside.
driver() {
  local folder
  if { ldconfig -p || /sbin/ldconfig -p; } 2>/dev/null | grep 'libcuda\.so\.1' >/dev/null; then
    return
  fi
  local IFS=:
  for folder in ${LD_LIBRARY_PATH:-}; do
    [ ! -e "$folder/libcuda.so.1" ] || return 0
  done
  IFS=$' \n'
  for folder in /usr/local/nvidia/lib64 /usr/local/nvidia/lib /usr/lib64 /usr/lib/*-linux-gnu \
    /usr/local/cuda/compat /usr/lib/wsl/lib; do
    if [ -e "$folder/libcuda.so.1" ]; then
      export LD_LIBRARY_PATH="$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
      return
    fi
  done
  return 1
}
driver || skip "there is no driver (libcuda.so.1) on this machine"

# A program: out of pack.sh's archive, built now, or built before.
program() { # PACKAGE EXAMPLE
  if [ -x "bin/$2" ]; then
    program=bin/$2
  elif [ -f Cargo.toml ] && command -v cargo >/dev/null; then
    # Where it cannot be built, an older one is not the one to run.
    cargo build --release --locked --package "$1" --example "$2" || exit 1
    program=target/release/examples/$2
  else
    program=target/release/examples/$2
    [ -x "$program" ]
  fi
}

arguments=("$@")
mkdir -p target
[[ " $* " == *" --json "* ]] || arguments+=(--json target/gpu.json)
if [ -d native ]; then
  export ROUTIR_NATIVE=${ROUTIR_NATIVE:-$PWD/native}
else
  export ROUTIR_NATIVE=${ROUTIR_NATIVE:-$PWD/.cache/native}
  ./runtime/device/kernels/setup.sh "$ROUTIR_NATIVE/nvrtc" || [ $? -eq 69 ]
fi
program routir-device gpu || skip "there is neither cargo nor a program that pack.sh built"
gpu=$program
status=0
name=$("$gpu" --name) || status=$?
[ "$status" -eq 0 ] || exit "$status"
stand_in=
if [[ $name == *stand-in* ]]; then
  stand_in=yes
  echo "gpu: NOT A GPU: $name" >&2
  if [[ " $* " != *" --verify-only "* ]]; then
    echo "gpu: nothing is measured on it; give --verify-only" >&2
    exit 1
  fi
fi
"$gpu" "${arguments[@]}" || status=$?
[ "$status" -ne "$unavailable" ] || exit "$unavailable"
[ "$status" -eq 0 ] || failed "the kernels (status $status)"

seconds=${ROUTIR_GPU_SANITIZE:-240}
sanitizer=$(PATH="$PATH:/usr/local/cuda/bin" command -v compute-sanitizer || true)
if [ -n "$stand_in" ]; then
  echo "gpu: wrong accesses and races are not looked for: there is no GPU" >&2
elif [ -z "$sanitizer" ]; then
  echo "gpu: compute-sanitizer is not installed: wrong accesses and races are not looked for" >&2
elif [ "$seconds" -gt 0 ]; then
  for tool in memcheck racecheck synccheck initcheck; do
    echo "gpu: compute-sanitizer --tool $tool"
    status=0
    timeout "$seconds" "$sanitizer" --tool "$tool" --error-exitcode 1 "$gpu" --small-only || status=$?
    case $status in
      0) ;;
      124) echo "gpu: $tool found nothing in $seconds s and was ended" >&2 ;;
      *) failed "$tool (status $status)" ;;
    esac
  done
fi

if [ -f Cargo.toml ] && command -v cargo >/dev/null; then
  cargo test --locked --package routir-engines --test devices on_a_gpu -- --nocapture ||
    failed "engines with their indices on the GPU"
else
  echo "gpu: there is no cargo: engines are not compared" >&2
fi

if [ -n "$stand_in" ]; then
  echo "gpu: SKIPPED: models, which no stand-in runs; NOT A GPU: $name" >&2
  exit "$failed"
fi

# The encoder, and the way from a query's text to its ranking.
model=${ROUTIR_GPU_MODEL:-.cache/models/minilm}
if [ ! -f "$model/tokenizer.json" ]; then
  echo "gpu: SKIPPED: models: there is no $model; run configs/models/setup.sh" >&2
elif ! program routir-engines pipeline; then
  echo "gpu: SKIPPED: models: there is neither cargo nor a program that pack.sh built" >&2
else
  [ -z "${ROUTIR_GPU_FILE:-}" ] || arguments+=(--file "$ROUTIR_GPU_FILE")
  [ -z "${ROUTIR_GPU_ONNXRUNTIME:-}" ] || arguments+=(--onnxruntime "$ROUTIR_GPU_ONNXRUNTIME")
  "$program" --model "$model" --device cuda "${arguments[@]}" || failed "the encoder and the way to a ranking"
fi
exit "$failed"
