#!/usr/bin/env bash
# kinesis.sh fetches and runs kinesis-local and dynalite, programs that speak the
# protocols of Kinesis and DynamoDB, for tests and for trying things out.
#
#   kinesis.sh fetch           put its npm packages into the cache, if they are not there
#   kinesis.sh run [STREAMS]   run Kinesis on http://127.0.0.1:${PORT:-4568} and DynamoDB on
#                              http://127.0.0.1:${DYNAMO_PORT:-4570} until Ctrl-C, with these
#                              streams: name:shards,... (those of logger-ext and the enricher
#                              by default)
#
# The cache is ${STACKJOIN_CACHE:-<repository>/.bin}/kinesis-local-<version>; beside
# kinesis-local it has Amazon's aws-kinesis-agg, which tests compare with. Versions
# are pinned in versions.env.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=versions.env
. "$here/versions.env"
cache="${STACKJOIN_CACHE:-$here/../.bin}/kinesis-local-$KINESIS_LOCAL_VERSION"

die() {
  echo "kinesis.sh: $*" >&2
  exit 1
}

need() {
  command -v "$1" >/dev/null || die "$1 is missing: $2"
}

# fetch fills a directory beside the cache and renames it at the end, so that a
# half-filled cache never looks like a whole one.
fetch() {
  [ -d "$cache/node_modules/dynalite" ] && return
  rm -rf "$cache" # an earlier version of this script left out what it has now
  need npm "install Node.js with npm, or set STACKJOIN_CACHE to a folder that holds kinesis-local-$KINESIS_LOCAL_VERSION"
  mkdir -p "$(dirname "$cache")"
  local work
  work=$(mktemp -d "$(dirname "$cache")/.kinesis-fetch.XXXXXX")
  # shellcheck disable=SC2064 # expand now: work is local
  trap "rm -rf '$work'" EXIT
  echo "kinesis.sh: fetching kinesis-local $KINESIS_LOCAL_VERSION into $cache"
  npm install --prefix "$work" --ignore-scripts --no-audit --no-fund --loglevel=error \
    "kinesis-local@$KINESIS_LOCAL_VERSION" "aws-kinesis-agg@$KINESIS_AGG_VERSION" "dynalite@$DYNALITE_VERSION" || die "npm could not fetch the packages; its words are above"
  mv -T "$work" "$cache" 2>/dev/null || [ -d "$cache/node_modules/dynalite" ] # another fetch may have won
  rm -rf "$work"
  trap - EXIT
}

answers() { # port
  (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

run() {
  fetch
  need node "install Node.js, 20 or later"
  local port=${PORT:-4568} dynamo_port=${DYNAMO_PORT:-4570} server dynamo
  local streams=${1:-osquery.results:4,osquery.status:1,osquery.deadletter:1,osquery.enriched:4,osquery.findings:1}
  answers "$port" && die "port $port is taken; choose another with PORT=..."
  answers "$dynamo_port" && die "port $dynamo_port is taken; choose another with DYNAMO_PORT=..."
  node "$cache/node_modules/dynalite/cli.js" --host 127.0.0.1 --port "$dynamo_port" >/dev/null &
  dynamo=$!
  cd "$cache/node_modules/kinesis-local" # it reads its certificate from there
  INITIALIZE_STREAMS=$streams KINESIS_MOCK_PLAIN_PORT=$port KINESIS_MOCK_TLS_PORT=$((port + 1)) LOG_LEVEL=WARN node main.js &
  server=$!
  # shellcheck disable=SC2064 # expand now: they are local
  trap "kill '$server' '$dynamo' 2>/dev/null || true" INT TERM EXIT
  until answers "$port" && answers "$dynamo_port"; do
    kill -0 "$server" 2>/dev/null || die "kinesis-local ended at once; its words are above"
    kill -0 "$dynamo" 2>/dev/null || die "dynalite ended at once; its words are above"
    sleep 0.2
  done
  echo "kinesis.sh: kinesis-local $KINESIS_LOCAL_VERSION answers on http://127.0.0.1:$port (TLS on $((port + 1))), with $streams; dynalite $DYNALITE_VERSION on http://127.0.0.1:$dynamo_port; Ctrl-C ends both"
  # Every signal ends a wait; only the server's end ends the script.
  while kill -0 "$server" 2>/dev/null; do
    wait "$server" || true
  done
}

case "${1:-}" in
fetch) fetch ;;
run) shift && run "$@" ;;
*) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" && exit 2 ;;
esac
