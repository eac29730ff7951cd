# SPDX-License-Identifier: GPL-2.0-or-later
#
# Makes the configuration snippet of a plugin of its .opt file:
#
#     awk -f opt2conf.awk kernel-fastswan.opt > kernel-fastswan.conf
#
# Owns the format, which is that of strongSwan's own snippets: per section the
# options, then the sections, each sorted by name; the first paragraph of a
# description as comment; defaults commented out unless assigned with ":=".
# Used by Makefile.am and checked by tests/conf.rs. Plain POSIX awk. Must not
# accept what it does not understand: that ends it with a message.

function fail(text)
{
	print FILENAME ":" FNR ": " text > "/dev/stderr"
	failed = 1
	exit 1
}

# registers a section and those above it
function section(path,    parent)
{
	if (path in is_section)
		return
	is_section[path] = 1
	parent = path
	if (sub(/\.[^.]*$/, "", parent))
	{
		section(parent)
		sections[parent] = sections[parent] " " path
	}
	else
		roots = roots " " path
}

function name_of(path)
{
	sub(/.*\./, "", path)
	return path
}

function indent(depth,    text)
{
	while (depth-- > 0)
		text = text "    "
	return text
}

# the first paragraph of a description, without markup, in lines of at most 80
function describe(path, depth,    words, count, i, line, prefix)
{
	if (description[path] == "")
		return
	prefix = indent(depth) "#"
	count = split(description[path], words, " ")
	line = prefix
	for (i = 1; i <= count; i++)
	{
		gsub(/\*\*/, "", words[i])
		sub(/^_/, "", words[i])
		sub(/_[.,:;)]*$/, substr(words[i], match(words[i], /_[.,:;)]*$/) + 1), words[i])
		if (length(line) + 1 + length(words[i]) > 80 && line != prefix)
		{
			print line
			line = prefix
		}
		line = line " " words[i]
	}
	print line
}

# prints the paths in list, sorted, as options or as sections
function print_all(list, depth, what,    paths, count, i, j, path)
{
	count = split(list, paths, " ")
	for (i = 2; i <= count; i++)
	{
		path = paths[i]
		for (j = i - 1; j > 0 && paths[j] > path; j--)
			paths[j + 1] = paths[j]
		paths[j + 1] = path
	}
	for (i = 1; i <= count; i++)
	{
		if (what == "option")
			print_option(paths[i], depth)
		else
			print_section(paths[i], depth)
	}
}

function print_option(path, depth,    value)
{
	describe(path, depth)
	value = default_of[path] == "" ? "" : " " default_of[path]
	print indent(depth) (active[path] ? "" : "# ") name_of(path) " =" value
	print ""
}

function print_section(path, depth)
{
	describe(path, depth)
	print indent(depth) name_of(path) " {"
	print ""
	print_all(options[path], depth + 1, "option")
	print_all(sections[path], depth + 1, "section")
	print indent(depth) "}"
	if (depth)
		print ""
}

/^[ \t]*#/ {
	next
}

/^[^ \t]/ {
	current = $1
	paragraph = 0
	if (current in seen)
		fail(current " is there twice")
	seen[current] = 1
	if ($2 == "{}")
	{
		section(current)
		next
	}
	if ($2 != "=" && $2 != ":=")
		fail("neither an option nor a section: " $0)
	parent = current
	if (!sub(/\.[^.]*$/, "", parent))
		fail("an option outside of any section: " current)
	section(parent)
	options[parent] = options[parent] " " current
	active[current] = $2 == ":="
	value = $0
	sub(/^[^=]*=[ \t]*/, "", value)
	sub(/[ \t]*$/, "", value)
	default_of[current] = value
	next
}

/^[ \t]*$/ {
	if (current != "" && description[current] != "")
		paragraph++
	next
}

{
	if (current == "")
		fail("a description of nothing: " $0)
	sub(/^[ \t]*/, "")
	if (!paragraph)
		description[current] = description[current] (description[current] == "" ? "" : " ") $0
}

END {
	if (failed)
		exit 1
	if (split(roots, unused, " ") != 1)
		fail("options of more than one program")
	# charon { plugins { NAME { ... } } }: the snippet begins with NAME, since
	# it is included from within plugins
	top = roots
	sub(/^ /, "", top)
	while (options[top] == "" && split(sections[top], below, " ") == 1)
		top = below[1]
	print_section(top, 0)
}
