#!/usr/bin/env bash
# kafka.sh fetches and runs a real Apache Kafka (KRaft, one node) for tests and
# for trying things out.
#
#   kafka.sh fetch        put Kafka's jars into the cache, if they are not there
#   kafka.sh run [DIR]    run one node on 127.0.0.1:${PORT:-9092} until Ctrl-C.
#                         Data goes to DIR, or to a temporary directory that is
#                         removed at the end.
#
# The cache is ${STACKJOIN_CACHE:-<repository>/.bin}/kafka-<version>. Versions
# are pinned in versions.env.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=versions.env
. "$here/versions.env"
libs="${STACKJOIN_CACHE:-$here/../.bin}/kafka-$KAFKA_VERSION"

die() {
  echo "kafka.sh: $*" >&2
  exit 1
}

need() {
  command -v "$1" >/dev/null || die "$1 is missing: $2"
}

pom() {
  cat <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId><artifactId>kafka-jars</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$KAFKA_VERSION</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>$KAFKA_VERSION</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>$LOG4J_SLF4J_VERSION</version></dependency>
  </dependencies>
</project>
POM
}

# fetch fills a directory beside the cache and renames it at the end, so that a
# half-filled cache never looks like a whole one.
fetch() {
  [ -d "$libs" ] && return
  need mvn "install Apache Maven, or set STACKJOIN_CACHE to a folder that holds kafka-$KAFKA_VERSION"
  need java "install a Java runtime, 17 or later"
  mkdir -p "$(dirname "$libs")"
  local work
  work=$(mktemp -d "$(dirname "$libs")/.kafka-fetch.XXXXXX")
  # shellcheck disable=SC2064 # expand now: work is local
  trap "rm -rf '$work'" EXIT
  pom >"$work/pom.xml"
  echo "kafka.sh: fetching Kafka $KAFKA_VERSION into $libs"
  mvn -B -q -f "$work/pom.xml" \
    "org.apache.maven.plugins:maven-dependency-plugin:$MAVEN_DEPENDENCY_PLUGIN_VERSION:copy-dependencies" \
    "-DoutputDirectory=$work/libs" || die "Maven could not fetch Kafka's jars; its words are above"
  mv -T "$work/libs" "$libs" 2>/dev/null || [ -d "$libs" ] # another fetch may have won
  rm -rf "$work"
  trap - EXIT
}

properties() { # data directory, port, controller port
  cat <<CONF
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$3
listeners=PLAINTEXT://127.0.0.1:$2,CONTROLLER://127.0.0.1:$3
advertised.listeners=PLAINTEXT://127.0.0.1:$2
controller.listener.names=CONTROLLER
log.dirs=$1/data
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
CONF
}

answers() { # port
  (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

run() {
  fetch
  need java "install a Java runtime, 17 or later"
  local port=${PORT:-9092} dir=${1:-} broker
  local controller=$((port + 1))
  answers "$port" && die "port $port is taken; choose another with PORT=..."
  if [ -z "$dir" ]; then
    dir=$(mktemp -d)
    # shellcheck disable=SC2064 # expand now: dir is local
    trap "rm -rf '$dir'" EXIT
  fi
  mkdir -p "$dir"
  properties "$dir" "$port" "$controller" >"$dir/server.properties"
  if [ ! -e "$dir/data/meta.properties" ]; then
    java -cp "$libs/*" kafka.tools.StorageTool format \
      "--cluster-id=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=')" \
      -c "$dir/server.properties" >"$dir/format.log" 2>&1 || die "could not format $dir: $(tail -3 "$dir/format.log")"
  fi
  java -Xmx512m -cp "$libs/*" kafka.Kafka "$dir/server.properties" >"$dir/server.log" 2>&1 &
  broker=$!
  trap 'kill "$broker" 2>/dev/null || true' INT TERM
  until answers "$port"; do
    kill -0 "$broker" 2>/dev/null || die "Kafka ended at once: $(tail -3 "$dir/server.log")"
    sleep 0.2
  done
  echo "kafka.sh: Kafka $KAFKA_VERSION answers on 127.0.0.1:$port (data and logs in $dir); Ctrl-C ends it"
  # Every signal ends a wait; only the broker's end ends the script.
  while kill -0 "$broker" 2>/dev/null; do
    wait "$broker" || true
  done
}

case "${1:-}" in
fetch) fetch ;;
run) shift && run "$@" ;;
*) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" && exit 2 ;;
esac
