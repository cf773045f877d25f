#!/bin/sh
# The tests that need real servers, which are those in files of the tag e2e:
#   names      a regular expression of their names, for go test -run
#   packages   where they are, those that take longest first
set -eu
cd "$(dirname "$0")/.."
files=$(grep -rlE '^//go:build .*e2e' --include='*_test.go' test cmd internal pkg)
case ${1-} in
names)
	# shellcheck disable=SC2086
	printf '^(%s)$\n' "$(sed -nE 's/^func (Test[A-Za-z0-9_]+)\(.*/\1/p' $files | sort -u | paste -sd '|' -)"
	;;
packages)
	for file in $files; do echo "./$(dirname "$file")"; done | awk '!seen[$0]++'
	;;
*)
	echo "usage: $0 names|packages" >&2
	exit 2
	;;
esac
