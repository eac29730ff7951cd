# SPDX-License-Identifier: GPL-2.0-or-later
#
# Makes the options of the manual page kernel-fastswan(5) out of kernel-fastswan.opt:
#
#	awk -f opt2man.awk kernel-fastswan.opt > ../man/kernel-fastswan.5
#
# Owns the page's fixed parts as well. tests/pages.rs compares the result with the page that is shipped. Of an option with
# a short and a long text it prints the long one, as strongSwan's format-options does.

function escape(text) {
	gsub(/\\/, "\\e", text)
	gsub(/-/, "\\-", text)
	# **bold** and _italic_, where they stand as words
	while (match(text, /\*\*[^*]+\*\*/))
		text = substr(text, 1, RSTART - 1) "\\fB" substr(text, RSTART + 2, RLENGTH - 4) "\\fR" substr(text, RSTART + RLENGTH)
	while (match(text, /(^|[ (])_[^ ][^_]*(_[a-z0-9][^_]*)*_([ ,.;:)]|$)/)) {
		word = substr(text, RSTART, RLENGTH)
		start = index(word, "_")
		rest = substr(word, start + 1)
		end = length(rest)
		while (substr(rest, end, 1) != "_")
			end--
		text = substr(text, 1, RSTART - 1) substr(word, 1, start - 1) "\\fI" substr(rest, 1, end - 1) "\\fR" \
			substr(rest, end + 1) substr(text, RSTART + RLENGTH)
	}
	if (text ~ /^[.']/)
		text = "\\&" text
	return text
}

function flush(	from, i) {
	if (option == "")
		return
	print ".TP"
	head = ".BR " escape(option)
	if (value != "")
		head = head " \" [" escape(value) "]\""
	print head
	from = paragraphs > 1 ? 2 : 1
	for (i = from; i <= paragraphs; i++) {
		if (i > from)
			print ".IP"
		print escape(text[i])
	}
	option = ""
}

BEGIN {
	print ".\\\" SPDX-License-Identifier: GPL-2.0-or-later"
	print ".\\\" made by opt2man.awk of kernel-fastswan.opt; do not edit"
	print ".TH KERNEL\\-FASTSWAN 5 \"\" \"kernel\\-fastswan\" \"strongSwan plugin\""
	print ".SH NAME"
	print "kernel\\-fastswan \\- settings of the plugin that puts IPsec into the NIC"
	print ".SH DESCRIPTION"
	print "The plugin is loaded by charon in front of kernel\\-netlink. Its settings stand in"
	print ".IR /etc/strongswan.d/charon/kernel\\-fastswan.conf ,"
	print "or anywhere else below"
	print ".B charon.plugins.kernel\\-fastswan"
	print "in"
	print ".BR strongswan.conf (5)."
	print "Whether a CHILD_SA is offloaded is chosen by"
	print ".B hw_offload"
	print "in"
	print ".BR swanctl.conf (5)."
	print ".PP"
	print "An option that is not set falls back to the one of the same name below"
	print ".BR charon.plugins.kernel\\-netlink ,"
	print "but for"
	print ".BR load ."
	print ".SH OPTIONS"
	print "The value in brackets is the default."
}

/^#/ { next }

/^charon\./ {
	flush()
	line = $0
	option = line
	sub(/[ \t]*(:?=|\{).*/, "", option)
	value = ""
	if (line ~ /=/) {
		value = line
		sub(/^[^=]*=[ \t]*/, "", value)
	}
	paragraphs = 0
	inside = 0
	split("", text)
	next
}

/^[ \t]*$/ { inside = 0; next }

/^\t/ {
	line = $0
	sub(/^[ \t]+/, "", line)
	if (!inside) {
		paragraphs++
		text[paragraphs] = line
		inside = 1
	} else
		text[paragraphs] = text[paragraphs] " " line
}

END {
	flush()
	print ".SH FILES"
	print ".TP"
	print ".I /run/charon.fastswan"
	print "The plugin's socket, with the protocol of vici. Commands:"
	print ".BR version ,"
	print ".BR status ;"
	print "as streams of events"
	print ".BR units \" (list\\-unit),\""
	print ".BR devices \" (list\\-device),\""
	print ".BR children \" (list\\-child)\"."
	print "The event"
	print ".B unit"
	print "tells of a unit that is new, changes its mode, is lost, repaired or has ended. No command changes anything."
	print ".SH \"SEE ALSO\""
	print ".BR fastswanctl (8),"
	print ".BR strongswan.conf (5),"
	print ".BR swanctl.conf (5)"
}
