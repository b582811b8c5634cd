#!/usr/bin/env bash
# Builds and runs the comparison with Redis and protobuf (rink/), whose code protoc-c makes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
build=$1
shift
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
protoc-c --c_out="$out" --proto_path=bench/link/rink cart.proto
gcc -std=c11 -O2 -D_POSIX_C_SOURCE=200809L -I. -I"$out" -o "$out/rink" \
  bench/link/rink/rink.c "$out/cart.pb-c.c" -lprotobuf-c -lsqlite3 -lm
"$out/rink" "$build" "$@"
