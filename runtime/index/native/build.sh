#!/usr/bin/env bash
# Builds FAISS, with the C interface of this folder, as one shared library per instruction set:
#
#   build.sh [best | all | VARIANT...]      VARIANT: generic, avx2, avx512
#
# `best` is what this machine's processor can; `all` is for a package that is to run anywhere. They go
# to .cache/native/faiss, where the server finds them. Safe to run again: what is there and was made of
# the same sources is left alone. Exits with 69, and says why, where it cannot be built.
set -euo pipefail
cd "$(dirname "$0")"

unavailable=69
cache="$(cd ../../.. && pwd)/.cache/native"
give_up() {
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

sources() { cat build.sh CMakeLists.txt cmake/*.cmake ./*.h ./*.cpp sources/Cargo.lock; }
stamp=$(sources | sha256sum | cut -d' ' -f1)
missing=()
for variant in "${variants[@]}"; do
  [[ -e $cache/faiss/libroutir_faiss-$variant.so && $(cat "$cache/faiss/$variant.made-of" 2>/dev/null) == "$stamp" ]] || missing+=("$variant")
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

echo "faiss: building ${missing[*]}; a few minutes each"
log=$cache/faiss-build.log
mkdir -p "$cache/faiss"
list=$(IFS=';'; echo "${missing[*]}")
{
  cmake -G Ninja -S . -B "$cache/build" -DCMAKE_BUILD_TYPE=Release -DFAISS_SOURCE="$faiss" -DVARIANTS="$list" &&
    nice ninja -C "$cache/build"
} >"$log" 2>&1 || give_up "the build failed; $log says why"
for variant in "${missing[@]}"; do
  # Renamed into place: a server that has the old one open goes on with it.
  install -m 644 "$cache/build/libroutir_faiss-$variant.so" "$cache/faiss/.new"
  mv "$cache/faiss/.new" "$cache/faiss/libroutir_faiss-$variant.so"
  echo "$stamp" >"$cache/faiss/$variant.made-of"
done
echo "faiss: ${missing[*]} in $cache/faiss"
