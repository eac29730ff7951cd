# SPDX-License-Identifier: GPL-2.0-or-later
# The lab's functions for scenarios. Owns the order in which the parts are read and the variables all of them share;
# sourced by runner.sh, which then sources a scenario's run.sh in the same shell. It must not do anything by itself.
#
# Variables a scenario may read:
#   PLUGIN      kernel-fastswan or kernel-netlink, the plugin under test
#   SCENARIO    name of the scenario, SCENARIO_DIR its folder
#   OUT         where this scenario's files are kept
LAB=${LAB:-/share/lab}
# Not below /run: each daemon gets a /run of its own.
RUN=/tmp/lab
. "$LAB/lib/report.sh"
. "$LAB/lib/topology.sh"
. "$LAB/lib/segment.sh"
. "$LAB/lib/pki.sh"
. "$LAB/lib/charon.sh"
. "$LAB/lib/ending.sh"
. "$LAB/lib/nic.sh"
. "$LAB/lib/traffic.sh"
. "$LAB/lib/takeover.sh"
. "$LAB/lib/percpu.sh"
. "$LAB/lib/offload.sh"
. "$LAB/lib/guard.sh"
. "$LAB/lib/leaks.sh"
. "$LAB/lib/shapes.sh"
