#!/bin/sh
# The C library as others have it: installed into an empty folder, found by pkg-config, and linked with
# the example, which must need neither the source tree nor SQLite.
#   installed.sh BUILD EXAMPLE
set -eu
build=$1 example=$2
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
export PKG_CONFIG_LIBDIR PKG_CONFIG_PATH
PKG_CONFIG_PATH=
PKG_CONFIG_LIBDIR=$(pkg-config --variable pc_path pkg-config)
meson install -C "$build" --no-rebuild --quiet --destdir "$tree" > /dev/null
found=$(find "$tree" -name tenfold-far.pc)
prefix=$(sed -n 's/^prefix=//p' "$found")
PKG_CONFIG_LIBDIR=$(dirname "$found"):$PKG_CONFIG_LIBDIR
flags=$(pkg-config --define-variable=prefix="$tree$prefix" --cflags --libs tenfold-far)
cp "$example" "$tree/example.c"
cd "$tree"
# shellcheck disable=SC2086
cc -std=c11 -Wall -Werror example.c $flags -o example
! ldd example | grep -q sqlite || { echo "not ok 1 - it needs SQLite"; exit 1; }
at=file:$tree/memory
./example "$at" > first
./example "$at" > second
printf 'visits: 1\nelement 7 is now 42\nelement 8 is now 43\nfrom 10 to 20: 1\n' | diff - first
printf 'visits: 2\nelement 7 is now 42\nelement 8 is now 43\nfrom 10 to 20: 2\n' | diff - second
printf 'ok 1 - installed, found by pkg-config, linked and run\n1..1\n'
