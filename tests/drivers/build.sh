# shellcheck shell=bash
# Shared by the `prepare` scripts of the driver folders: what is built is stamped with
# the hash of everything it was built from, so that a second call does nothing.

# Ends with 77, the mark of a language that this machine does not have.
need() {
  local tool
  for tool in "$@"; do
    if ! command -v "$tool" >/dev/null; then
      echo "$tool is not installed"
      exit 77
    fi
  done
}

# hash_of FILE_OR_FOLDER... : one hash over names and contents.
hash_of() {
  find "$@" -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -d' ' -f1
}

# take_turn DEST : two processes may want the same program; the second waits, to the end of
# this script, and then finds it built. Where there is no flock (macOS), they must not.
take_turn() {
  mkdir -p "$(dirname "$1")"
  if command -v flock >/dev/null; then
    exec 9>"$1.turn"
    flock 9
  fi
}

# is_current DEST HASH
is_current() {
  [[ -f "$1/.built" && "$(<"$1/.built")" == "$2" ]]
}

# start_over DEST : an empty folder, so that nothing of an earlier build stays.
start_over() {
  rm -rf "$1"
  mkdir -p "$1"
}

# mark_current DEST HASH : the last step, so that half a build never counts as one.
mark_current() {
  echo "$2" >"$1/.built"
}
