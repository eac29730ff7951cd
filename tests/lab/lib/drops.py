#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Where packets were dropped: what every counter of the kernel and of the NICs says, before and after.

Owns the list of counters. Called by lib/offload.sh around a stream, so that a packet that is missing can be looked for
without another run. It must not judge: other traffic is dropped as well.

    drops.py HOST... >BEFORE      all counters
    drops.py HOST... <BEFORE      those that grew, and the kernel's own record of drops since
"""
import glob
import json
import os
import re
import subprocess
import sys

# An instance of its own: the main buffer belongs to the counters of the CPU's ESP functions (lib/nic.sh).
TRACE = "/sys/kernel/tracing/instances/drops"


def inside(host, *command):
    return subprocess.run(["nsenter", f"--net=/run/netns/{host}", *command], capture_output=True, text=True).stdout


def tables(text):
    """/proc/net/snmp and netstat: a line of names, then a line of numbers."""
    lines = text.splitlines()
    for names, numbers in zip(lines[::2], lines[1::2]):
        group = names.split(":")[0]
        for name, number in zip(names.split()[1:], numbers.split()[1:]):
            if re.search(r"Discard|Error|Err|NoRoute|Drop|NoPorts|Filter|Fails", name):
                yield f"{group}.{name}", int(number)


def counters(host):
    text = inside(host, "sh", "-c", "cd /proc/net; cat snmp; cat netstat")
    yield from tables(text)
    for line in inside(host, "cat", "/proc/net/xfrm_stat").splitlines():
        name, number = line.split()
        yield name, int(number)
    for link in json.loads(inside(host, "ip", "-s", "-j", "link") or "[]"):
        for way, stats in (link.get("stats64") or {}).items():
            for name in ("dropped", "errors", "missed", "over_errors"):
                if name in stats:
                    yield f"{link['ifname']}.{way}.{name}", stats[name]
    lines = inside(host, "cat", "/proc/net/stat/arp_cache").splitlines()
    if lines and "unresolved_discards" in lines[0]:
        at = lines[0].split().index("unresolved_discards")
        yield "arp.unresolved_discards", sum(int(line.split()[at], 16) for line in lines[1:])


def all_counters(hosts):
    found = {}
    for host in hosts:
        for name, number in counters(host):
            found[f"{host}.{name}"] = number
    for file in glob.glob("/sys/kernel/debug/vnic/*/stats"):
        device = os.path.basename(os.path.dirname(file))
        with open(file) as rows:
            for line in rows:
                name, _, number = line.strip().partition("=")
                if number.isdigit() and not re.search(r"^([tr]x_(esp|clear|other|policy|esp_bytes|crypto)|sa_|pol)", name):
                    found[f"{device}.{name}"] = int(number)
    with open("/proc/net/softnet_stat") as rows:
        found["softnet.dropped"] = sum(int(line.split()[1], 16) for line in rows)
    return found


def main():
    hosts, before = sys.argv[1:], None
    if not sys.stdout.isatty() and not sys.stdin.isatty():
        text = sys.stdin.read()
        before = json.loads(text) if text.strip() else None
    now = all_counters(hosts)
    if before is None:
        os.makedirs(TRACE, exist_ok=True)
        for name, value in (("events/skb/kfree_skb/filter", "protocol == 2048"), ("events/skb/kfree_skb/enable", "1"),
                            ("trace", "")):
            with open(f"{TRACE}/{name}", "w") as file:
                file.write(value)
        json.dump(now, sys.stdout)
        return
    for name, number in sorted(now.items()):
        if number != before.get(name, 0):
            print(f"{name} +{number - before.get(name, 0)}")
    with open(f"{TRACE}/trace") as rows:
        drops = [line.strip() for line in rows if "kfree_skb:" in line]
    for line in drops[-20:]:
        print(re.sub(r"skbaddr=\S+ (rx_sk=\S+ )?", "", line))


main()
