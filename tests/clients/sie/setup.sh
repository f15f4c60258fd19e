#!/usr/bin/env bash
# Installs both generations of SIE's Python SDK, each into a virtual environment of its own:
# .cache/sie/0.2 and .cache/sie/0.3.
#
# The SDK is on no package index: it comes from its public repository, or from the clone of it that
# SIE_REPOSITORY names. Safe to run again: what is there is left alone. Exits with 69, and says why,
# where it cannot be had; the tests then say that they were skipped and play recorded exchanges.
set -euo pipefail
cd "$(dirname "$0")"

unavailable=69
cache="$(cd ../../.. && pwd)/.cache/sie"
stamp="$cache/made-of"
repository="${SIE_REPOSITORY:-https://github.com/superlinked/sie}"
# The last of the router's own SDK, and the first of the gateway's that followed it.
old=81d6ef57^
new=8634c1b7

give_up() {
  echo "clients: SKIPPED: $*" >&2
  exit "$unavailable"
}

cmp -s "$stamp" setup.sh && exit 0
for python in python3.12 "$HOME"/.pyenv/versions/3.12.*/bin/python3.12 none; do
  "$python" -c 'import ensurepip, venv' 2>/dev/null && break
done
[[ $python != none ]] || give_up "SIE's SDK needs Python 3.12 with its venv module"
rm -rf "$cache"
mkdir -p "$cache"
sources="$cache/sources.git"
if [[ -d $repository ]]; then
  sources="$repository"
else
  export GIT_TERMINAL_PROMPT=0
  timeout 20 git ls-remote "$repository" HEAD >/dev/null 2>&1 ||
    give_up "SIE's repository at $repository cannot be reached"
  timeout 600 git clone --quiet --bare --filter=blob:none "$repository" "$sources" ||
    give_up "SIE's repository at $repository could not be cloned"
fi

install() { # REVISION FOLDER
  mkdir -p "$cache/$2.src"
  git -C "$sources" archive "$1:packages/sie_sdk" | tar -x -C "$cache/$2.src" || give_up "no SDK at $1 of $repository"
  "$python" -m venv "$cache/$2"
  "$cache/$2/bin/python" -m pip install --quiet --disable-pip-version-check \
    "$cache/$2.src" 'pytest>=8.3,<9' || give_up "the SDK's packages could not be installed"
}

echo "clients: installing SIE's SDK, two generations"
install "$old" 0.2
install "$new" 0.3
cp setup.sh "$stamp"
