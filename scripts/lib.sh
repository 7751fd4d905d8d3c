# Sourced by the other scripts: where things are, which compiler builds the page, how to talk.
# It installs nothing.
# shellcheck shell=bash
set -euo pipefail

SHOAL_TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$SHOAL_TOP"

# What setup installs for this project alone is kept here, outside the checkout.
SHOAL_TOOLS=${SHOAL_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/shoal/tools}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$SHOAL_TOP/target}

# The `wasm-bindgen` tool must be of the very version that the page is linked with.
WASM_BINDGEN_VERSION=$(awk '/^name = "wasm-bindgen"$/ { getline; gsub(/"/, "", $3); print $3 }' Cargo.lock)
WASM_BINDGEN_HOME=$SHOAL_TOOLS/wasm-bindgen-$WASM_BINDGEN_VERSION
DX_VERSION=0.7.10
DX_HOME=$SHOAL_TOOLS/dx-$DX_VERSION

WASM_TARGET=wasm32-unknown-unknown
WASM_TOOLCHAIN=wasm # the name that setup gives to Debian's compiler, where it is needed

# The Python whose packages the independent tests use.
export SHOAL_PYTHON=$SHOAL_TOOLS/python/bin/python
export PATH=$WASM_BINDGEN_HOME/bin:$DX_HOME/bin:$SHOAL_TOOLS/node/node_modules/.bin:$PATH

say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }

# Whether the compiler in use has the page's standard library.
has_wasm_std() {
  local libdir
  libdir=$(rustc --print target-libdir --target "$WASM_TARGET" 2>/dev/null) || return 1
  compgen -G "$libdir/libcore-*.rlib" >/dev/null
}

# Makes the compiler that has the page's standard library the one in use from here on.
use_wasm_toolchain() {
  has_wasm_std || export RUSTUP_TOOLCHAIN=$WASM_TOOLCHAIN
}
