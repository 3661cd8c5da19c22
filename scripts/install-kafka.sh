#!/usr/bin/env bash
# Puts the Kafka broker that the tests run on under .cache/kafka of the checkout:
#
#   .cache/kafka/libs/        the broker and what it needs, from Maven Central
#   .cache/kafka/formatted/   an empty data folder of a broker, copied by each test
#   .cache/kafka/version      what lies there
#   .cache/kafka/unavailable  why it cannot be had, where it cannot
#
# Idempotent and bounded in time; a second run at the same time waits for the first. What cannot be
# had is said, and its tests are skipped by name. Java and Maven are installed with apt as root.
set -euo pipefail
cd "$(dirname "$0")/.."
KAFKA=4.1.0
SECONDS_MAX=300
LOCK_SECONDS_MAX=900
mkdir -p .cache/kafka
HOME_DIR=$(cd .cache/kafka && pwd -P)

tools() {
  local wanted=()
  command -v java >/dev/null || wanted+=(default-jre-headless)
  command -v mvn >/dev/null || wanted+=(maven)
  [ ${#wanted[@]} -gt 0 ] || return 0
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    local install=(timeout "$SECONDS_MAX" apt-get install -y -qq --no-install-recommends "${wanted[@]}")
    export DEBIAN_FRONTEND=noninteractive
    "${install[@]}" || { apt-get update -qq && "${install[@]}"; }
    return
  fi
  echo "Java 17 or newer and Maven are needed, e.g. 'sudo apt-get install default-jre-headless maven'" >&2
  return 1
}

jars() {
  cat >"$1/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>tidemark</groupId>
  <artifactId>kafka-for-tests</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>$KAFKA</version>
    </dependency>
  </dependencies>
</project>
POM
  timeout "$SECONDS_MAX" nice mvn -q -B -f "$1/pom.xml" dependency:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$1/libs"
}

# Ports and paths are in the properties of each start; none of them is kept in the folder.
formatted() {
  cat >"$1/format.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:1
listeners=PLAINTEXT://127.0.0.1:2,CONTROLLER://127.0.0.1:1
controller.listener.names=CONTROLLER
log.dirs=$1/formatted
PROPERTIES
  timeout "$SECONDS_MAX" java -Xmx128m -cp "$1/libs/*" kafka.tools.StorageTool format \
    -t AAAAAAAAQACAAAAAAAAAAQ -c "$1/format.properties"
}

obtain() { tools && jars "$1" && formatted "$1"; }

command -v flock >/dev/null || { echo "kafka: flock (util-linux) is needed" >&2; exit 1; }
exec 9>"$HOME_DIR/lock"
flock -w "$LOCK_SECONDS_MAX" 9 || { echo "kafka: another run holds $HOME_DIR/lock" >&2; exit 1; }
if [ "$(cat "$HOME_DIR/version" 2>/dev/null)" = "$KAFKA" ] && command -v java >/dev/null; then exit 0; fi
rm -rf "$HOME_DIR"/{libs,formatted,version,unavailable,log,pom.xml,format.properties}
echo "kafka: installing $KAFKA"
if obtain "$HOME_DIR" >"$HOME_DIR/log" 2>&1; then
  echo "$KAFKA" >"$HOME_DIR/version"
  echo "kafka: $KAFKA took $SECONDS s"
else
  echo "Kafka $KAFKA cannot be had: $(tail -1 "$HOME_DIR/log")" | tee "$HOME_DIR/unavailable" >&2
fi
