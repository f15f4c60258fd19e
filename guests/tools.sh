#!/usr/bin/env bash
# Installs what builds the example guests into .cache/guest-tools, in fixed versions. Safe to run
# again: what is there is left alone. What this machine cannot have is said, and is no failure.
#
#   guests/tools.sh [python] [node] [rust] [go]      all when none is named
set -euo pipefail
cd "$(dirname "$0")"

tools="$(cd .. && pwd)/.cache/guest-tools"
ziglang=0.17.0         # a C and a Zig compiler
componentize_py=0.25.1
go_versions="1.27 1.26 1.25"
target=wasm32-unknown-unknown
mkdir -p "$tools"
export PATH="$HOME/.cargo/bin:$PATH"

have() { command -v "$1" >/dev/null 2>&1; }
say() { echo "guest tools: $*"; }
skipped() { echo "guest tools: SKIPPED $1: $2" >&2; }

# Runs a command as root where that needs no password.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; elif sudo -n true 2>/dev/null; then sudo -n "$@"; else return 1; fi
}

apt_install() {
  have apt-get || return 1
  as_root apt-get update -qq >/dev/null || return 1
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# For C, Zig and Python.
python_tools() {
  local venv="$tools/python" want="ziglang $ziglang componentize-py $componentize_py"
  # An environment that was moved does not run.
  [ "$(cat "$venv/installed" 2>/dev/null)" = "$want" ] && grep -qF "$venv" "$venv/bin/componentize-py" && return
  say "installing $want"
  if ! python3 -c 'import ensurepip' 2>/dev/null && ! apt_install python3 python3-venv; then
    skipped "C, Zig and Python" "python3 with its venv module is missing; install python3-venv"
    return
  fi
  rm -rf "$venv"
  if python3 -m venv "$venv" &&
    "$venv/bin/pip" install --quiet "ziglang==$ziglang" "componentize-py==$componentize_py"; then
    echo "$want" >"$venv/installed"
  else
    skipped "C, Zig and Python" "pip could not install $want"
  fi
}

# For JavaScript and TypeScript.
node_tools() {
  local to="$tools/node"
  cmp -s package-lock.json "$to/installed" && return
  say "installing componentize-qjs and esbuild"
  if ! have npm && ! apt_install nodejs npm; then
    skipped "JavaScript and TypeScript" "npm is missing; install Node.js 20 or later"
    return
  fi
  mkdir -p "$to"
  cp package.json package-lock.json "$to/"
  # Not `npm ci`: the lock file cannot hold platforms that the package names and nobody published.
  if (cd "$to" && npm install --silent --ignore-scripts --no-audit --no-fund); then
    cp package-lock.json "$to/installed"
  else
    skipped "JavaScript and TypeScript" "npm could not install what guests/package.json names"
  fi
}

# Rust's standard library for WebAssembly: rustup's, or else Debian's compiler, which comes with
# the sources to build one.
rust_tools() {
  local sysroot
  sysroot=$(rustc --print sysroot 2>/dev/null) || true
  [ -d "$sysroot/lib/rustlib/$target" ] && return
  say "adding $target"
  have rustup && rustup target add "$target" >/dev/null 2>&1 && return
  debian_rust && return
  apt_install rustc-web cargo-web rust-web-src lld-19 && debian_rust && return
  skipped Rust "its target $target is missing; run: rustup target add $target"
}

debian_rust() {
  [ -x /usr/bin/cargo ] && have wasm-ld-19 && [ -d /usr/lib/rustlib/src/rust/library ]
}

# Go's compiler, unpacked from the Debian release after this one: Go is linked statically, so it
# runs here. The mirror and its keys are those of this machine.
go_tools() {
  local apt="$tools/go/apt" mirror version
  new_go "$(command -v go)" && return
  new_go "$tools/go/bin/go" && return
  if ! have apt-get || [ ! -f /usr/share/keyrings/debian-archive-keyring.gpg ]; then
    skipped Go "no Go of 1.25 or later; install one"
    return
  fi
  mirror=$(debian_mirror)
  if [ -z "$mirror" ]; then
    skipped Go "no Go of 1.25 or later; install one"
    return
  fi
  say "unpacking Go"
  mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie-backports main" \
    >"$apt/sources.list"
  local private=(-o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o "Dir::State::lists=$apt/lists" -o "Dir::Cache=$apt/cache" -o Debug::NoLocking=1
    -o "APT::Sandbox::User=$(id -un)" -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false)
  if ! apt-get "${private[@]}" update -qq 2>/dev/null; then
    skipped Go "no Go of 1.25 or later, and Debian's backports cannot be read; install Go"
    return
  fi
  for version in $go_versions; do
    (cd "$apt" && apt-get "${private[@]}" download -qq "golang-$version-go" "golang-$version-src") \
      >/dev/null 2>&1 || continue
    unpack_go "$version" && new_go "$tools/go/bin/go" && return
  done
  skipped Go "no Go of 1.25 or later, and none in Debian's backports; install one"
}

debian_mirror() {
  apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' 2>/dev/null |
    awk '$2 !~ /-/ && $1 ~ /\/debian\/?$/ { print $1; exit }'
}

# The packages keep compiler and library apart, joined by links to absolute paths.
unpack_go() {
  local root="$tools/go/root" package
  rm -rf "$root" "$tools/go/bin"
  for package in "$tools"/go/apt/golang-"$1"-*.deb; do
    dpkg-deb -x "$package" "$root" || return 1
  done
  cp -a "$root/usr/share/go-$1/." "$root/usr/lib/go-$1/" 2>/dev/null || true
  mkdir -p "$tools/go/bin"
  ln -s "$root/usr/lib/go-$1/bin/go" "$tools/go/bin/go"
  rm -rf "$tools/go/apt"
}

new_go() {
  local version
  [ -n "$1" ] && version=$("$1" env GOVERSION 2>/dev/null) || return 1
  [ "$(printf '%s\ngo1.25\n' "$version" | sort -V | head -n 1)" = go1.25 ]
}

[ "$#" -gt 0 ] || set -- python node rust go
for tool in "$@"; do
  case "$tool" in
    python | node | rust | go) "${tool}_tools" ;;
    *)
      echo "guest tools: no such tool: $tool (python, node, rust, go)" >&2
      exit 2
      ;;
  esac
done
