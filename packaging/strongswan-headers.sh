#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Takes the headers out of an unpacked source of strongSwan, for packages that
# cannot carry all of it:
#
#     sh packaging/strongswan-headers.sh SOURCE DIR
#
# DIR then is what ./configure --with-strongswan-headers=DIR takes: the headers
# of libstrongswan and libcharon in one tree, and the source's own config.h if
# it is configured, else one with the settings of Debian's package that the
# layout of a struct depends on. Must not run strongSwan's configure.

set -eu

source=${1:?unpacked source of strongSwan}
dir=${2:?folder to make}

[ -f "$source/src/libcharon/daemon.h" ] || {
	echo "$source is not an unpacked source of strongSwan" >&2
	exit 1
}
[ ! -e "$dir" ] || { echo "$dir is there already" >&2; exit 1; }
mkdir -p "$dir"
# of the plugins only the one header that the shim includes, and what all share
for library in libstrongswan libcharon; do
	(
		cd "$source/src/$library"
		{
			find . -name '*.h' ! -path './plugins/*'
			find ./plugins -maxdepth 1 -name '*.h'
			find ./plugins -name kernel_netlink_xfrmi.h
		} | LC_ALL=C sort | tar -cf - -T -
	) | tar --keep-old-files -xf - -C "$dir"
done
for file in COPYING LICENSE; do
	[ ! -f "$source/$file" ] || cp "$source/$file" "$dir/$file"
done
# a configured source's one says what it was configured for
if [ -f "$source/config.h" ] && grep -q '^#define VERSION "' "$source/config.h"; then
	cp "$source/config.h" "$dir/config.h"
else
	version=$(sed -n 's/^AC_INIT(\[strongSwan\],\[\([^]]*\)\].*/\1/p' "$source/configure.ac")
	[ -n "$version" ] || { echo "$source/configure.ac names no version" >&2; exit 1; }
	cat >"$dir/config.h" <<-CONFIG
		/* SPDX-License-Identifier: GPL-2.0-or-later
		 * Written by packaging/strongswan-headers.sh: what the headers need. */
		#ifndef CONFIG_H_INCLUDED
		#define CONFIG_H_INCLUDED
		#define VERSION "$version"
		#define PACKAGE_VERSION "$version"
		#define ME 1
		#define HAVE_STDBOOL_H 1
		#define HAVE_SIGWAITINFO 1
		#define HAVE_GCC_ATOMIC_OPERATIONS 1
		#define HAVE_PRINTF_SPECIFIER 1
		#ifndef _GNU_SOURCE
		#define _GNU_SOURCE
		#endif
		#endif
	CONFIG
fi
