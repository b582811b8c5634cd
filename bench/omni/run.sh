#!/usr/bin/env bash
# How many of the programs of fixtures/omni/corpus.txt are recorded and replayed exactly.
set -euo pipefail
python3 test/omni/corpus.py --tool "$1/omni.so"
