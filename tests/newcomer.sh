#!/usr/bin/env bash
# What the first hour costs on this machine: from a fresh clone to an answer, and from nothing to a changed tool.
#
#   tests/newcomer.sh [DIRECTORY]
#
# Works in DIRECTORY (by default a temporary one) with a HOME and a CARGO_HOME that are empty, so that nothing is there
# that a newcomer would not have. Needs 5 GB of disk, the network for crates, and rustup. Prints a table: wall time, and
# processor time (user and system, of all processes), which is the one to compare between machines that do other work.
set -euo pipefail
repository=$(cd "$(dirname "$0")/.." && pwd)
work=${1:-$(mktemp -d)}
mkdir -p "$work"
if [ $# -eq 0 ]; then trap 'rm -rf "$work"' EXIT; fi
toolchains=${RUSTUP_HOME:-$HOME/.rustup}

# What a machine needs to reach the network at all.
network=()
for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY SSL_CERT_FILE SSL_CERT_DIR; do
    if [ -n "${!name:-}" ]; then network+=("$name=${!name}"); fi
done

newcomer() {
    env -i ${network[@]+"${network[@]}"} PATH="$PATH" HOME="$work/home" CARGO_HOME="$work/home/.cargo" RUSTUP_HOME="$toolchains" \
        TERM=dumb "$@"
}

# measure NAME COMMAND…: runs the command as a newcomer, and adds a line to the table.
table=$work/table
measure() {
    local name=$1 seconds
    shift
    echo "== $name: $*" >&2
    seconds=$({ TIMEFORMAT='%R %U %S'; time newcomer "$@" > "$work/output" 2> "$work/errors"; } 2>&1) || {
        tail -40 "$work/errors" >&2
        exit 1
    }
    echo "$name $seconds" | awk '{ printf "%-28s %8.1f s %8.1f s\n", $1, $2, $3 + $4 }' | tee -a "$table" >&2
    # The last command's answer is what the next step looks at.
    answer=$(cat "$work/output")
}

mkdir -p "$work/home"
: > "$table"
git clone --quiet "$repository" "$work/clone"
cd "$work/clone"
measure first-answer cargo run --release -- run examples/weather/agent.toml
case $answer in "San Francisco is foggy"*) ;; *) echo "not the answer: $answer" >&2; exit 1 ;; esac
measure second-answer cargo run --release -- run examples/weather/agent.toml
host=$work/clone/target/release/host

cd "$work"
measure init "$host" init my-agent
measure first-own-answer "$host" run my-agent
sed -i 's/Hello, /Good evening, /' my-agent/tools/greet/src/lib.rs
measure changed-tool "$host" call my-agent greet name=Ada
case $answer in *"Good evening, Ada"*) ;; *) echo "not the changed greeting: $answer" >&2; exit 1 ;; esac
measure second-agent-init "$host" init other-agent
measure second-agent "$host" run other-agent

printf '\n%-28s %10s %10s\n' step wall processor
cat "$table"
