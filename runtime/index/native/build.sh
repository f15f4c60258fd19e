#!/usr/bin/env bash
# Builds FAISS, with the C interface of this folder, as one shared library per instruction set:
#
#   build.sh [best | all | VARIANT...]      VARIANT: generic, avx2, avx512
#
# `best` is what this machine's processor can; `all` is for a package that is to run anywhere. They go
# to .cache/native/faiss, where the server finds them. Safe to run again: what is there and was made of
# the same sources is left alone. Exits with 69, and says why, where it cannot be built.
#
# With FAISS_GPU=1 it builds libraries that have FAISS's own indices for GPUs as well, beside those
# without, in .cache/native/faiss-cuda. That needs NVIDIA's CUDA toolkit: nvcc, cuBLAS and their headers.
# CUDACXX names nvcc if it is not found by itself, FAISS_GPU_ARCHS the generations that are compiled for
# in CMake's words. What was asked for so and cannot be built is an error.
set -euo pipefail
cd "$(dirname "$0")"

unavailable=69
cache="$(cd ../../.. && pwd)/.cache/native"
gpu=${FAISS_GPU:-0}
case $gpu in
  0 | "") gpu=0 folder=faiss build=build ;;
  1) folder=faiss-cuda build=build-cuda ;;
  *) echo "build.sh: FAISS_GPU is 0 or 1, not $gpu" >&2; exit 2 ;;
esac
give_up() {
  if ((gpu)); then
    echo "faiss: FAISS_GPU=1, but it cannot be built with CUDA: $*" >&2
    exit 1
  fi
  echo "faiss: SKIPPED: $*" >&2
  exit "$unavailable"
}

best() {
  local flags=" $(grep -m1 '^flags' /proc/cpuinfo 2>/dev/null | cut -d: -f2) "
  local wanted
  for wanted in avx512f avx512cd avx512vl avx512dq avx512bw; do
    [[ $flags == *" $wanted "* ]] || break
  done
  if [[ $flags == *" $wanted "* ]]; then echo avx512
  elif [[ $flags == *" avx2 "* && $flags == *" fma "* && $flags == *" f16c "* ]]; then echo avx2
  else echo generic; fi
}

variants=()
for argument in "${@:-best}"; do
  case $argument in
    best) variants+=("$(best)") ;;
    all) variants+=(generic avx2 avx512) ;;
    generic | avx2 | avx512) variants+=("$argument") ;;
    *) echo "build.sh: unknown variant $argument" >&2; exit 2 ;;
  esac
done

# What is for GPUs makes no difference without them.
sources() {
  local file
  for file in build.sh CMakeLists.txt cmake/*.cmake ./*.h ./*.cpp sources/Cargo.lock; do
    [[ $gpu == 0 && ${file,,} == */gpu* ]] || cat "$file"
  done
  ((gpu == 0)) || echo "$archs"
}
archs=${FAISS_GPU_ARCHS:-80-real;90}
stamp=$(sources | sha256sum | cut -d' ' -f1)
missing=()
for variant in "${variants[@]}"; do
  [[ -e $cache/$folder/libroutir_faiss-$variant.so && $(cat "$cache/$folder/$variant.made-of" 2>/dev/null) == "$stamp" ]] || missing+=("$variant")
done
((${#missing[@]})) || exit 0

for tool in cmake ninja c++ cargo python3; do
  command -v "$tool" >/dev/null || give_up "$tool is missing; run setup.sh"
done
[[ -e $(cc -print-file-name=libgfortran.a) ]] || give_up "libgfortran.a is missing; run setup.sh"
faiss=$(cargo metadata --quiet --locked --format-version 1 --manifest-path sources/Cargo.toml |
  python3 -c 'import json, os, sys
packages = json.load(sys.stdin)["packages"]
print(next(os.path.dirname(p["manifest_path"]) for p in packages if p["name"] == "faiss-sys"))')/faiss ||
  give_up "the sources of FAISS could not be fetched"

options=()
if ((gpu)); then
  nvcc=${CUDACXX:-$(command -v nvcc || true)}
  nvcc=${nvcc:-/usr/local/cuda/bin/nvcc}
  [[ -x $nvcc ]] || give_up "nvcc is missing, NVIDIA's compiler; install the CUDA toolkit, or name it in CUDACXX"
  toolkit=$(cd "$(dirname "$(readlink -f "$nvcc")")/.." && pwd)
  for file in cuda_runtime.h cuda_profiler_api.h cublas_v2.h; do
    [[ -n $(find -L "$toolkit/include" "$toolkit"/targets/*/include /usr/include -maxdepth 1 -name "$file" 2>/dev/null) ]] ||
      give_up "$file is missing in $toolkit; install the CUDA toolkit with cuBLAS and its headers"
  done
  options=(-DGPU=ON -DCMAKE_CUDA_COMPILER="$nvcc" -DCMAKE_CUDA_ARCHITECTURES="$archs")
  echo "faiss: building ${missing[*]} with CUDA for $archs; half an hour or more"
else
  echo "faiss: building ${missing[*]}; a few minutes each"
fi
log=$cache/$folder-build.log
mkdir -p "$cache/$folder"
list=$(IFS=';'; echo "${missing[*]}")
{
  cmake -G Ninja -S . -B "$cache/$build" -DCMAKE_BUILD_TYPE=Release -DFAISS_SOURCE="$faiss" -DVARIANTS="$list" "${options[@]}" &&
    nice ninja -C "$cache/$build"
} >"$log" 2>&1 || give_up "the build failed; $log says why"
for variant in "${missing[@]}"; do
  # Renamed into place: a server that has the old one open goes on with it.
  install -m 644 "$cache/$build/libroutir_faiss-$variant.so" "$cache/$folder/.new"
  mv "$cache/$folder/.new" "$cache/$folder/libroutir_faiss-$variant.so"
  echo "$stamp" >"$cache/$folder/$variant.made-of"
done
echo "faiss: ${missing[*]} in $cache/$folder"
