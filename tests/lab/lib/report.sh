# SPDX-License-Identifier: GPL-2.0-or-later
# Checks and their report. Owns how a check is written down and counted; used by every other part and by scenarios.
# A check never ends the scenario: all that fails is shown at once. It must not know what is checked.

CHECKS=0
FAILURES=0
# The text of the first check that failed.
FIRST_FAILURE=""
# What the kernel cannot do, if the scenario is about that.
LIMIT=""

note() { echo "     $*"; }
ok() { CHECKS=$((CHECKS + 1)); echo "  ok   $*"; }
bad() {
	CHECKS=$((CHECKS + 1))
	FAILURES=$((FAILURES + 1))
	[ -n "$FIRST_FAILURE" ] || FIRST_FAILURE=$(echo "$*" | tr '\n' ' ')
	echo "  FAIL $*"
}

# limit TEXT: what the scenario is about cannot be had from this kernel. The scenario must have checked the refusal.
limit() {
	LIMIT=$1
	note "not on this kernel: $1"
}

# check TEXT COMMAND...: the command succeeds.
check() {
	local text=$1 out status
	shift
	if out=$("$@" 2>&1); then ok "$text"; return 0; else status=$?; fi
	bad "$text ($* ended with $status)"
	[ -z "$out" ] || echo "$out" | tail -n 12 | sed 's/^/       | /'
	return 0
}

# fails TEXT COMMAND...: the command does not succeed.
fails() {
	local text=$1 out
	shift
	if out=$("$@" 2>&1); then
		bad "$text ($* succeeded)"
		echo "$out" | tail -n 12 | sed 's/^/       | /'
	else
		ok "$text"
	fi
}

# expect TEXT REGEX COMMAND...: a line of the command's output matches (extended regular expression).
expect() {
	local text=$1 regex=$2 out
	shift 2
	out=$("$@" 2>&1)
	if echo "$out" | grep -Eq -- "$regex"; then ok "$text"; return 0; fi
	bad "$text (no line of '$*' matches '$regex')"
	echo "$out" | tail -n 25 | sed 's/^/       | /'
	return 0
}

# refute TEXT REGEX COMMAND...: no line matches.
refute() {
	local text=$1 regex=$2 out
	shift 2
	out=$("$@" 2>&1)
	if ! echo "$out" | grep -Eq -- "$regex"; then ok "$text"; return 0; fi
	bad "$text ('$*' has lines that match '$regex')"
	echo "$out" | grep -E -- "$regex" | head -n 12 | sed 's/^/       | /'
	return 0
}

# same TEXT EXPECTED FOUND
same() {
	if [ "$2" = "$3" ]; then ok "$1"; else bad "$1 (expected '$2', found '$3')"; fi
}

# at_least TEXT MINIMUM FOUND
at_least() {
	if [ "${3:-0}" -ge "$2" ] 2>/dev/null; then ok "$1 ($3)"; else bad "$1 (expected at least $2, found '$3')"; fi
}

# until_true SECONDS COMMAND...: waits until the command succeeds; its status says whether it did.
until_true() {
	local ticks=$(($1 * 10))
	shift
	while ! "$@" >/dev/null 2>&1; do
		ticks=$((ticks - 1))
		[ $ticks -gt 0 ] || return 1
		sleep 0.1
	done
}
