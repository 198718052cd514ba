# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154
# Shared by build, publish and check, which set $here, their own folder.

say() { printf '%s\n' "$*" >&2; }
fail() {
  say "error: $*"
  exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

layer_root=$(cd "$here/../.." && pwd)
# Where cargo puts what it builds.
layer_target=${CARGO_TARGET_DIR:-$layer_root/target}
layer_version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$layer_root/Cargo.toml" | head -n 1)

# is_architecture NAME: as Lambda calls them.
is_architecture() {
  case $1 in x86_64 | arm64) ;; *) return 1 ;; esac
}

# this_architecture: of this machine, as Lambda calls it.
this_architecture() {
  case $(uname -m) in
    x86_64) echo x86_64 ;;
    aarch64 | arm64) echo arm64 ;;
    *) uname -m ;;
  esac
}

# zip_of ARCHITECTURE FOLDER
zip_of() { echo "$2/weir-layer-$1.zip"; }

# is_static FILE: it names no loader and no library. `file` calls some such programs
# "statically linked" and some "static-pie linked"; the headers say what is meant by it.
is_static() {
  if have readelf; then
    ! readelf -lW "$1" | grep -q INTERP && ! readelf -dW "$1" | grep -q NEEDED
  elif have file; then
    file -b "$1" | grep -Eq 'statically linked|static-pie linked'
  else
    fail "neither readelf nor file is installed: nothing can tell whether $1 is static"
  fi
}

# machine_of FILE: the architecture that it runs on.
machine_of() {
  # Bytes 18 and 19 of an ELF header.
  case $(od -An -tx1 -j18 -N2 "$1" | tr -d ' \n') in
    3e00) echo x86_64 ;;
    b700) echo arm64 ;;
    *) echo unknown ;;
  esac
}
