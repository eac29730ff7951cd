#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Raw checks of the virtual NIC: loads the module, runs every check against it
# with nothing but iproute2, ping, socat, tcpdump and a little python3, and unloads it. Run as
# root in a machine of its own (the lab's VM), by `cargo xtask test` or by hand:
#
#   VNIC_KO=/share/vnic.ko bash checks/run.sh [PATTERN]
#
# Prints `PASS name` or `FAIL name` for each check, and as last line
# "N passed, N failed". Exit status 0 if none failed. PATTERN (a glob) selects
# files by name, for example "2*". It must not be run on a machine that uses
# IPsec: it flushes what it finds in its own namespaces only, but loads a module.

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=lib.sh
. "$here/lib.sh"
: "${VNIC_KO:=$here/../vnic.ko}"

for tool in ip tc ping tcpdump socat ss ethtool python3 taskset nsenter; do
	command -v $tool >/dev/null || { echo "FAIL tool $tool is missing"; echo "0 passed, 1 failed"; exit 1; }
done

dmesg -C
if ! insmod "$VNIC_KO"; then
	echo "FAIL insmod $VNIC_KO"
	echo "0 passed, 1 failed"
	exit 1
fi
if ! setup_lab; then
	echo "FAIL topology"
	echo "0 passed, 1 failed"
	exit 1
fi

PATTERN=$1
for f in "$here"/[0-9]*.sh; do
	case $(basename "$f") in ${PATTERN:-*}*) . "$f" ;; esac
done

. "$here/end.sh"
rm -rf "$WORK"
echo "in $SECONDS s, the slowest:"
sort -rn <<<"$times" | head -n "${TIMES_SHOWN:-8}" | sed 's/^/    /'
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
