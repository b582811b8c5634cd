#!/bin/sh
# Runs tickets under what is named. Under omni it is recorded with one seed of a hostile schedule
# after the other, until there is a run that went well (good.omni) and one that did not (bad.omni).
#   race.sh LAUNCHER...
set -e
cc -g -O0 -pthread -o tickets "$(dirname "$0")/tickets.c"
if [ "$2" != record ]; then
  "$@" ./tickets > log 2>&1
  exit
fi
for seed in $(seq 200); do
  rm -rf run.omni
  "$@" --chaos "$seed" -o run.omni -- ./tickets > out 2> log || true
  case $(cat out) in
    well*) name=good.omni ;;
    two*) name=bad.omni ;;
    *) exit 1 ;;
  esac
  [ -e $name ] || mv run.omni $name
  [ ! -e good.omni ] || [ ! -e bad.omni ] || exit 0
done
exit 1
