#!/usr/bin/env bash
# How many of the programs of fixtures/omni/corpus.txt are recorded and replayed exactly.
set -euo pipefail
python3 test/omni/corpus.py --tool "$1/omni.so"
# Variables and expressions as gdb sees them: our own programs, the C library, python3.11d.
"$1/test/test-replay-dwarf" --all | grep -v '^# '
