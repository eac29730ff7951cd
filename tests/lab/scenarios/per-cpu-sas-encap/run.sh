# SPDX-License-Identifier: GPL-2.0-or-later
segment alice moon sun bob
start sun moon
per_cpu_sas TUNNEL 10.1.0.1 10.2.0.10
random_ports
