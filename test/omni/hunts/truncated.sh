#!/bin/sh
# Runs a night of maintenance under what is named: Debian's run-parts over scripts, one of which
# writes into the file that it reads. In the morning a list is empty.
#   truncated.sh LAUNCHER...
set -e
mkdir -p daily
script() { { echo '#!/bin/sh'; cat; } > "daily/$1"; chmod 700 "daily/$1"; }
script 10-count << '.'
wc -l subscribers > count
.
script 20-backup << '.'
tar cf backup.tar subscribers
gzip -f backup.tar
.
script 30-tidy << '.'
sort -u subscribers > subscribers
.
script 40-welcome << '.'
while read -r name; do echo "Dear $name," > "letter-$name"; done < subscribers
.
printf '%s\n' carol alice bob alice > subscribers
"$@" run-parts daily > log 2>&1
