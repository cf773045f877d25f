#!/usr/bin/env bash
# Builds a pinned tool from source: scripts/tools.sh golangci-lint VERSION TARGET
set -euo pipefail
name=$1 version=$2 target=$3
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
case $name in
golangci-lint) module=github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v$version ;;
*)
	echo "tools.sh: no tool called $name" >&2
	exit 2
	;;
esac
echo "building $name $version (once)"
GOBIN=$dir GOFLAGS=-mod=mod go install "$module"
mkdir -p "$(dirname "$target")"
mv "$dir/$name" "$target"
