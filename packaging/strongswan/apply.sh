#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Makes the plugin part of strongSwan's own tree, as a proposal of how it could
# be built there:
#
#     sh packaging/strongswan/apply.sh RELEASE STRONGSWAN
#
# with an unpacked release of kernel-fastswan (it has the crates and the
# bindings) and an unpacked source of strongSwan 6.1.0. After that, in it:
# autoreconf -i, ./configure --enable-kernel-fastswan, make. Must change nothing
# if it cannot change all.

set -eu

release=$(cd "${1:?unpacked release of kernel-fastswan}" && pwd)
tree=$(cd "${2:?unpacked source of strongSwan}" && pwd)

fail() { echo "apply.sh: $*" >&2; exit 1; }

[ -d "$release/vendor" ] && [ -f "$release/include/bindings.rs" ] ||
	fail "$release is no release: it lacks vendor/ or include/bindings.rs (make dist makes one)"
[ -f "$tree/src/libcharon/kernel/kernel_ipsec.h" ] ||
	fail "$tree is not an unpacked source of strongSwan"
plugin=$tree/src/libcharon/plugins/kernel_fastswan
[ ! -e "$plugin" ] || fail "$plugin is there already"

patch=$release/packaging/strongswan/kernel-fastswan-6.1.0.patch
(cd "$tree" && patch -p1 -s --dry-run <"$patch") ||
	fail "the patch does not apply to $tree: it is for strongSwan 6.1.0"
(cd "$tree" && patch -p1 -s <"$patch")

mkdir "$plugin/fastswan"
(cd "$release" && tar -cf - .cargo Cargo.toml Cargo.lock build.rs include src \
	strongswan-plugin vendor xtask) | tar -xf - -C "$plugin/fastswan"
# what is loaded is decided by --enable-kernel-fastswan and the list of plugins
sed '/^charon\.plugins\.kernel-fastswan\.load := /s/:= .*/:= yes/' \
	"$release/strongswan-plugin/kernel-fastswan.opt" >"$tree/conf/plugins/kernel-fastswan.opt"
