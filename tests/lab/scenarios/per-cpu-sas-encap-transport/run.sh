# SPDX-License-Identifier: GPL-2.0-or-later
segment moon sun
start sun moon
per_cpu_sas TRANSPORT 192.168.0.1 192.168.0.2
random_ports
