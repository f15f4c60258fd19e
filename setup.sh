#!/usr/bin/env bash
# Installs what building and testing need and this machine lacks. Safe to run again: it asks first
# what is there, and does nothing when all is.
set -euo pipefail

needed_rust=1.95

has_library() { ls /usr/lib/*/"$1" >/dev/null 2>&1; }
have() { command -v "$1" >/dev/null 2>&1; }

packages=()
have cc || packages+=(build-essential)
have curl || packages+=(curl)
have python3 || packages+=(python3)
python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv)
# What tests start: a shared cache.
have redis-server || packages+=(redis-server)
# What looks at the router's page.
have chromium || packages+=(chromium)
# What FAISS is built with: see runtime/index/native.
have cmake || packages+=(cmake)
have ninja || packages+=(ninja-build)
has_library openblas-serial/libopenblas.a || packages+=(libopenblas-serial-dev)
[ -e "$(cc -print-file-name=libgfortran.a 2>/dev/null)" ] || packages+=(gfortran)
if [ "${#packages[@]}" -gt 0 ]; then
  if ! have apt-get; then
    echo "setup: please install: ${packages[*]} (this script knows only apt-get)" >&2
    exit 1
  fi
  echo "setup: installing ${packages[*]}"
  as_root=""
  [ "$(id -u)" -eq 0 ] || as_root=sudo
  $as_root apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends "${packages[@]}"
fi

export PATH="$HOME/.cargo/bin:$PATH"
if ! have cargo; then
  echo "setup: installing Rust with rustup"
  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile default
fi
version=$(rustc --version | awk '{print $2}')
if [ "$(printf '%s\n%s\n' "$needed_rust" "$version" | sort -V | head -n 1)" != "$needed_rust" ]; then
  echo "setup: Rust $version is older than $needed_rust; run: rustup update stable" >&2
  exit 1
fi
