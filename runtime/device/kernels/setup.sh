#!/usr/bin/env bash
# Installs NVRTC, NVIDIA's compiler as a library, out of its Python package:
#
#   setup.sh [FOLDER]      FOLDER is .cache/native/nvrtc of the checkout unless given
#
# The server compiles its kernels with it, and tests compile them where there is no GPU. It needs no
# driver. Safe to run again: what is there is left alone. Exits with 69, and says why, where it cannot
# be had.
set -euo pipefail
cd "$(dirname "$0")"

unavailable=69
# Its code runs under every driver from CUDA 12.0 on.
package=nvidia-cuda-nvrtc-cu12==12.9.86
folder=${1:-$(cd ../../.. && pwd)/.cache/native/nvrtc}

give_up() {
  echo "nvrtc: SKIPPED: $*" >&2
  exit "$unavailable"
}

[[ $(cat "$folder/made-of" 2>/dev/null) == "$package" ]] && exit 0
command -v python3 >/dev/null || give_up "python3 is missing; run setup.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "nvrtc: installing $package"
python3 -m venv "$work/venv" || give_up "python3 -m venv failed"
"$work/venv/bin/python" -m pip download --quiet --disable-pip-version-check --no-deps \
  --only-binary :all: --dest "$work" "$package" ||
  give_up "$package could not be downloaded: no network, or none for this machine"
python3 -m zipfile -e "$work"/*.whl "$work/wheel"
library=$(find "$work/wheel" -name 'libnvrtc.so.*' ! -name '*alt*' | head -n 1)
[[ -n $library ]] || give_up "the package brings no library"
rm -rf "$folder"
mkdir -p "$folder"
cp "$(dirname "$library")"/libnvrtc.so.* "$(dirname "$library")"/libnvrtc-builtins.so.* "$folder/"
ln -s "$(basename "$library")" "$folder/libnvrtc.so"
echo "$package" >"$folder/made-of"
