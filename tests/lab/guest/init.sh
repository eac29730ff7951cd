#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# First process of the lab's guest. Owns what every script may rely on: file systems, loopback, search path. Started
# by the initial file system that xtask writes; runs /share/run and powers off. It must not set up anything a scenario
# is about (namespaces, devices, daemons).
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C TERM=linux
# Lets iproute2 make pairs of the virtual NIC.
export IP_LIB_DIR=/share
mount -t proc proc /proc
mount -t sysfs sys /sys
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mount -t debugfs debugfs /sys/kernel/debug
mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null
mkdir -p /run/lock /run/netns
hostname lab
ip link set lo up
# Each program that asks for time stamps (ping, tcpdump) makes the kernel patch its own code, which QEMU's translation
# of several processors does not always survive. One that asks for as long as the machine runs leaves one patch.
ping -q -i 86400 127.0.0.1 >/dev/null 2>&1 &
# A crash of a daemon must leave something to look at.
ulimit -c unlimited
mkdir -p /tmp/cores
echo '/tmp/cores/core.%e.%p' >/proc/sys/kernel/core_pattern
: >/share/alive
cd /share || exit 1
if grep -q fastswan.shell /proc/cmdline; then
	echo "lab: $(uname -r); the shared folder is /share; 'exit' powers off"
	setsid -c bash -l </dev/ttyS0 >/dev/ttyS0 2>&1
	poweroff -f
fi
bash ./run >/share/output 2>&1 </dev/null
status=$?
dmesg >/share/dmesg.log 2>/dev/null
echo "$status" >/share/status
sync
busybox poweroff -f
