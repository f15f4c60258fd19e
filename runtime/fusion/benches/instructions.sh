#!/bin/sh
# Instructions of one RRF of 2 lists of 1000 hits, counted by callgrind: the difference between 110
# and 10 fusions in one process each, so that start and input cancel out.
# Needs valgrind. Runs from anywhere in the workspace.
set -eu
binary=$(cargo bench --quiet -p routir-fusion --bench fusion --no-run --message-format=json |
    sed -n 's/.*"name":"fusion".*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
out=$(mktemp)
trap 'rm -f "$out"' EXIT
count() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$binary" rrf "$1" 2>"$out" >/dev/null
    sed -n 's/.*Collected : \([0-9]*\).*/\1/p' "$out"
}
few=$(count 10)
many=$(count 110)
echo "instructions per RRF of 2 x 1000 hits: $(((many - few) / 100))"
