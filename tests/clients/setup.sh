#!/usr/bin/env bash
# Installs RoutIR, its client and its server, and what makes stubs of our contract, into
# .cache/clients/venv, and RoutIR's own tests of its client into .cache/clients/routir-tests.
#
# Safe to run again: what is there is left alone. Exits with 69, and says why, where it cannot be
# had; the tests that need it then say that they were skipped.
set -euo pipefail
cd "$(dirname "$0")"

unavailable=69
cache="$(cd ../.. && pwd)/.cache/clients"
venv="$cache/venv"
stamp="$venv/made-of"

give_up() {
  echo "clients: SKIPPED: $*" >&2
  exit "$unavailable"
}

cmp -s "$stamp" <(cat requirements.txt setup.sh) && exit 0
python3 -c 'import ensurepip, venv' 2>/dev/null || give_up "python3 with its venv module is missing; install python3-venv"
echo "clients: installing $(grep -o '^routir==.*' requirements.txt) and what it needs"
rm -rf "$cache"
mkdir -p "$cache"
python3 -m venv "$venv" || give_up "python3 -m venv failed"
pip() { "$venv/bin/python" -m pip "$@" --quiet --disable-pip-version-check; }
missing="the packages could not be installed: no network, or none for this machine and $(python3 --version)"

pip install --prefer-binary --requirement requirements.txt || give_up "$missing"

# Its tests are in its source distribution alone.
pip download --no-deps --no-binary :all: --no-build-isolation --dest "$cache/source" \
  "$(grep '^routir==' requirements.txt)" >/dev/null 2>&1 || give_up "RoutIR's source distribution could not be downloaded"
mkdir -p "$cache/routir-tests"
tar -xzf "$cache"/source/routir-*.tar.gz -C "$cache/routir-tests" --strip-components 2 --wildcards '*/tests/*.py' ||
  give_up "RoutIR's source distribution holds no tests"

cat requirements.txt setup.sh >"$stamp"
