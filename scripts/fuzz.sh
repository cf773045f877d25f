#!/usr/bin/env bash
# Runs every fuzz target for the given time, one after the other.
set -euo pipefail
time=${1:-20s}
grep -rlE --include='*_test.go' '^func Fuzz' . | sort | while read -r file; do
	dir=$(dirname "$file")
	grep -oE '^func Fuzz[A-Za-z0-9_]*' "$file" | sed 's/^func //' | while read -r target; do
		echo "== $dir $target"
		# Inputs are made smaller for a second, not the minute that is usual: with
		# short runs that minute would be all there is.
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 1s "$dir"
	done
done
