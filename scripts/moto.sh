#!/usr/bin/env bash
# moto.sh fetches and runs moto, which speaks the protocols of S3, SQS, SNS and Firehose, for
# tests and for trying things out.
#
#   moto.sh fetch      install it into the cache, if it is not there
#   moto.sh run PORT   run it on 127.0.0.1:PORT until Ctrl-C, or until standard
#                      input ends, so that it never outlives the test that started it
#
# The cache is ${STACKJOIN_CACHE:-<repository>/.bin}/moto-<version>, a Python
# environment of its own. Versions are pinned in versions.env.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=versions.env
. "$here/versions.env"
home="${STACKJOIN_CACHE:-$here/../.bin}/moto-$MOTO_VERSION"

die() {
  echo "moto.sh: $*" >&2
  exit 1
}

# fetch fills a folder beside the cache and renames it at the end, so that a
# half-filled cache never looks like a whole one.
fetch() {
  [ -d "$home" ] && return
  command -v python3 >/dev/null || die "python3 is missing: install Python 3.10 or later, with venv"
  mkdir -p "$(dirname "$home")"
  local work
  work=$(mktemp -d "$(dirname "$home")/.moto-fetch.XXXXXX")
  # shellcheck disable=SC2064 # expand now: work is local
  trap "rm -rf '$work'" EXIT
  echo "moto.sh: installing moto $MOTO_VERSION into $home"
  python3 -m venv "$work" || die "Python cannot make an environment: install its venv module (python3-venv)"
  "$work/bin/python" -m pip install --quiet --disable-pip-version-check \
    "moto[s3,sqs,sns,server]==$MOTO_VERSION" ||
    die "pip could not install moto; its words are above"
  mv -T "$work" "$home" 2>/dev/null || [ -d "$home" ] # another fetch may have won
  rm -rf "$work"
  trap - EXIT
}

run() {
  [ $# -eq 1 ] || die "run wants a port"
  fetch
  # Through the module: the environment was moved, so its scripts point nowhere.
  "$home/bin/python" -m moto.server -H 127.0.0.1 -p "$1" </dev/null &
  local server=$! watch
  exec 3<&0
  { cat <&3 >/dev/null; kill "$server"; } 2>/dev/null &
  watch=$!
  # shellcheck disable=SC2064 # expand now: they are local
  trap "kill '$server' '$watch' 2>/dev/null || true" INT TERM EXIT
  wait "$server" || true
}

case "${1:-}" in
fetch) fetch ;;
run) shift && run "$@" ;;
*) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" && exit 2 ;;
esac
