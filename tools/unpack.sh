#!/usr/bin/env bash
# Loads a Debian package and unpacks into FOLDER what a guest (test/guest/guest.py) needs of it. It is
# not installed: a kernel would be booted the next time, and busybox-static takes busybox's place.
#   unpack.sh linux-image-amd64|busybox-static FOLDER
set -euo pipefail
package=$1
mkdir -p "$2"
folder=$(realpath "$2")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

# The kernel of today that a package of no contents stands for; nothing for others.
meant() { apt-cache depends "$package" 2> /dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p'; }

case $package in
  linux-image-*)
    wanted=('./boot/vmlinuz-*')
    for part in drivers/infiniband/core drivers/infiniband/sw drivers/net drivers/virtio net/core \
      net/ipv4 net/ipv6 crypto lib arch/x86/crypto fs/configfs; do
      wanted+=("./lib/modules/*/kernel/$part/*")
    done
    # What is known of packages may be as old as the machine.
    [[ -n $(meant) || $(id -u) != 0 ]] || apt-get update -q > /dev/null
    package=$(meant | sort -V | tail -n 1)
    ;;
  *) wanted=(./bin/busybox) ;;
esac
apt-get download -q "$package" > log 2>&1 || { cat log >&2; exit 1; }
dpkg-deb --fsys-tarfile ./*.deb | tar -x -C "$folder" --wildcards "${wanted[@]}"
