#!/usr/bin/env bash
# Verbs against tcp in the same guest (test/guest), where there is an RDMA device. After ./run test,
# which loads what a guest is made of.
#   run.sh BUILD_FOLDER
set -euo pipefail
echo
echo "verbs and tcp in one guest (QEMU without KVM, rdma_rxe), medians of 7 interleaved rounds"
python3 "$(dirname "${BASH_SOURCE[0]}")/../../test/guest/guest.py" "$1" "$1/guest" |
  sed -n 's/^# \(read of\)/\1/p; s/^\(ok .*stopped\)$/\1/p; /SKIP/p; /^not ok/p'
