#!/usr/bin/env bash
# What recording, replay and questions cost; then what is right: variables and expressions as gdb sees
# them (our own programs, the C library, python3.11d), and, with --corpus, how many of the programs
# of fixtures/omni/corpus.txt are recorded and replayed exactly.
#   run.sh BUILD_FOLDER [--corpus]
set -euo pipefail
/usr/bin/python3 bench/omni/measure.py "$1"
"$1/test/test-replay-dwarf" --all | grep -v '^# '
if [[ ${2:-} == --corpus ]]; then python3 test/omni/corpus.py --tool "$1/omni.so"; fi
