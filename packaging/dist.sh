#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Fills the folder that "make dist" packs:
#
#     sh packaging/dist.sh SOURCE BUILD DISTDIR
#
# Owns what a release tarball holds beyond configure: the files git knows, the
# crates of Cargo.lock, the Rust view of include/fastswan.h. Started by
# Makefile.am with cargo's environment. Must not download what is not in
# Cargo.lock, and two runs on one commit must give the same bytes.

set -eu

src=${1:?source}
build=${2:?build folder}
dist=$(cd "${3:?folder to pack}" && pwd)

fail() { echo "dist: $*" >&2; exit 1; }

# 1. The files. A tarball has no git, but a list that was made from it.
cd "$src"
if [ -e .git ]; then
	git ls-files | LC_ALL=C sort >"$dist/MANIFEST"
else
	[ -e MANIFEST ] || fail "$src is neither a checkout nor a release"
	cp MANIFEST "$dist/MANIFEST"
fi
tar -cf - -T "$dist/MANIFEST" | tar -xf - -C "$dist"

# 2. The crates. For Windows they hold import libraries, which have no source
# and no use here: what cargo needs of them to read Cargo.lock is kept.
if [ -d vendor ]; then
	cp -a vendor "$dist/vendor"
	cp .cargo/config.toml "$dist/.cargo/config.toml"
else
	"${CARGO:-cargo}" vendor --quiet --locked --versioned-dirs \
		--manifest-path Cargo.toml "$dist/vendor" >/dev/null
	for crate in "$dist"/vendor/winapi* "$dist"/vendor/windows*; do
		[ -d "$crate" ] || continue
		sum=$(sed -n 's/.*"package":"\([0-9a-f]*\)".*/\1/p' "$crate/.cargo-checksum.json")
		[ -n "$sum" ] || fail "$crate has no checksum"
		find "$crate" -mindepth 1 -maxdepth 1 ! -name Cargo.toml \
			! -iname 'licen[cs]e*' -exec rm -rf {} +
		# a crate without a target is no crate
		sed -i '/^build = /d; /^links = /d' "$crate/Cargo.toml"
		mkdir "$crate/src"
		echo '//! Left out of the release: for Windows only.' >"$crate/src/lib.rs"
		printf '{"files":{},"package":"%s"}' "$sum" >"$crate/.cargo-checksum.json"
	done
	# Some crates test with libraries of other systems; without source, they stay out.
	find "$dist/vendor" \( -name '*.dll' -o -name '*.a' -o -name '*.lib' -o -name '*.exe' \
		-o -name '*.so' -o -name '*.o' -o -name '*.wasm' \) | while read -r file; do
		inside=${file#"$dist"/vendor/}
		crate=${inside%%/*}
		inside=${inside#*/}
		grep -q "\"$inside\":" "$dist/vendor/$crate/.cargo-checksum.json" ||
			fail "$crate does not list its file $inside"
		sed -i "s|\"$inside\":\"[0-9a-f]*\",||; s|,\"$inside\":\"[0-9a-f]*\"}|}|" \
			"$dist/vendor/$crate/.cargo-checksum.json"
		rm "$file"
	done
	cat >>"$dist/.cargo/config.toml" <<'CONFIG'

# Of a release: the crates are in it, nothing is downloaded.
[source.crates-io]
replace-with = "vendored-sources"

[source.vendored-sources]
directory = "vendor"
CONFIG
fi

# 3. The bindings, so that no libclang is needed. Each struct's layout in them
# is asserted by the compiler, so a machine they do not fit fails to build.
if [ -e include/bindings.rs ]; then
	cp include/bindings.rs "$dist/include/bindings.rs"
else
	out=$(find "${CARGO_TARGET_DIR:-$build/target}" -path '*/build/fastswan-*/out/fastswan.rs' \
		-newer include/fastswan.h -printf '%T@ %p\n' | sort -rn | sed -n '1s/^[^ ]* //p')
	[ -n "$out" ] || fail "no bindings in $build: run make first"
	cp "$out" "$dist/include/bindings.rs"
fi
