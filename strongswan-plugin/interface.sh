#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Prints a digest of the part of strongSwan's headers that the shim's code and
# the layout of what it reads depend on:
#
#     sh interface.sh LIBSTRONGSWAN LIBCHARON
#
# with the folders of both (the same one twice for an installed include tree).
# Owns which headers these are. Comments and white space do not count, since
# distributions patch and upstream mends them. configure compares the digest
# with the file "interfaces"; must not decide what an unknown one means.

set -eu

libstrongswan=${1:?folder of libstrongswan}
libcharon=${2:?folder of libcharon}

# A missing header must change the digest, not end it silently.
headers() {
	for file in library.h utils/debug.h settings/settings.h \
		plugins/plugin.h plugins/plugin_feature.h processing/watcher.h \
		collections/enumerator.h collections/linked_list.h \
		networking/host.h ipsec/ipsec_types.h \
		selectors/traffic_selector.h selectors/sec_label.h
	do
		echo "@ libstrongswan/$file"
		cat "$libstrongswan/$file"
	done
	for file in daemon.h kernel/kernel_ipsec.h kernel/kernel_interface.h \
		kernel/kernel_net.h kernel/kernel_listener.h \
		config/backend.h config/backend_manager.h config/child_cfg.h \
		config/peer_cfg.h sa/task_manager.h \
		plugins/kernel_netlink/kernel_netlink_xfrmi.h
	do
		echo "@ libcharon/$file"
		cat "$libcharon/$file"
	done
}

headers | awk '
{
	line = $0
	while (1)
	{
		if (inside)
		{
			end = index(line, "*/")
			if (!end)
			{
				line = ""
				break
			}
			line = substr(line, end + 2)
			inside = 0
		}
		begin = index(line, "/*")
		if (!begin)
			break
		kept = kept substr(line, 1, begin - 1)
		line = substr(line, begin + 2)
		inside = 1
	}
	line = kept line
	kept = ""
	gsub(/[ \t\r]/, "", line)
	if (line != "")
		print line
}' | sha256sum | cut -c 1-32
