#!/bin/sh
# Runs songinfo under what is named, on a file that claims to have 536870913 comments; the size of
# as many pointers, cut to an int, is 8 bytes.
#   overflow.sh LAUNCHER...
set -e
here=$(dirname "$0")
page() { printf 'OggS\0\2\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0'; } # its header, up to the segments
{
  page && printf '\1\36\1vorbis\0\0\0\0\2\104\254\0\0\0\0\0\0\0\0\0\0\0\0\0\0\270\1'
  page && printf '\1\204\3vorbis\4\0\0\0lame\1\0\0\40'
  for line in TITLE=Heisenbug ARTIST=Race. ALBUM=Undefined DATE=19700101 GENRE=Noise_It; do
    printf '\17\0\0\0%-15s' "$line"
  done
} > song.ogg
cc -g -O1 -w -o songinfo "$here/songinfo.c" -lm
"$@" ./songinfo song.ogg > log 2>&1 || true
