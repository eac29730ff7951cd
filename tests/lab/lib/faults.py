#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Fails every call into a NIC in turn, and compares what everybody believes afterwards.

Owns the loop: for n = 1, 2, 3 ... the nth SA or policy that the gateway gives to its NIC fails, on the way of a CHILD_SA
from its trap through set-up and rekey to its end, until the way holds no nth call any more. From the failure on, after
each step, SAD, SPD, NIC and charon must agree; while there is a trap, no packet may leave in clear, and with a CHILD_SA
packets must arrive. Called by the scenario fault-loop. It must not know the plugin.

    faults.py CHILD SOCKET SOCKET     of moon, whose NIC fails, and of sun
"""
import itertools
import os
import re
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from compare import Host, run  # noqa: E402
from vici import Vici, pair  # noqa: E402

KNOB = "/sys/kernel/debug/vnic/p0/knobs/fail_call"
# EINVAL, ENOSPC, EBUSY, ENOMEM
ERRORS = itertools.cycle((22, 28, 16, 12))
# What is freed late, or ends with the next exchange, is waited for.
PATIENCE = 6
MOST_CALLS = 60


class Loop:
    def __init__(self, child, moon, sun):
        self.child, self.host, self.moon, self.sun = child, Host("moon", "p0", moon), Vici(moon), Vici(sun)
        self.wrong = []
        self.where = ""
        self.mark = 0

    def complain(self, text):
        self.wrong.append(f"{time.strftime('%T')} {self.where}: {text}")

    def failed_calls(self):
        return int(re.search(r"^injected_fail=(\d+)", self.host.read("stats"), flags=re.M)[1])

    def compare(self, always=False):
        """Before the call that fails everything is as it was in the round before."""
        if not always and self.failed_calls() == self.mark:
            return
        found = self.host.settled(PATIENCE)
        if found:
            self.complain(found)
        elif "packet" in self.child and set(self.host.kernel_sas().values()) - {"packet"}:
            self.complain(f"hw_offload = packet, but {self.host.kernel_sas()}")

    def traffic(self, needed):
        if self.failed_calls() == self.mark:
            return
        before = self.host.clear_frames()
        said = run("nsenter", "--net=/run/netns/alice", "ping", "-q", "-i", "0.02", "-c", "3", "-W", "1", "10.2.0.10")
        if self.host.clear_frames() != before:
            self.complain(f"{self.host.clear_frames() - before} packets in clear")
        if needed and " 3 received" not in said:
            self.complain(f"an installed CHILD_SA carries nothing ({said.strip().splitlines()[-1:]})")

    def wait(self, condition, seconds):
        end = time.monotonic() + seconds
        while not condition() and time.monotonic() < end:
            time.sleep(0.05)
        return condition()

    def way(self):
        """From the trap to the end; what fails is allowed to fail, what is left must fit."""
        trap = self.moon.succeeds("install", child=self.child)
        self.compare()
        if trap:
            self.traffic(False)
        if not self.wait(lambda: self.moon.installed(self.child), 1 if trap else 0):
            self.moon.succeeds("initiate", child=self.child, timeout="4000")
        up = bool(self.moon.installed(self.child))
        self.compare()
        if up:
            self.traffic(True)
            old = pair((self.moon, self.sun), "net") or self.moon.installed(self.child)[0]["spi-in"]
            self.moon.command("rekey", child=self.child)
            self.wait(lambda: self.changed(old), 2)
            self.compare()
            if self.moon.installed(self.child):
                self.traffic(True)
            elif trap:
                self.traffic(False)
        self.moon.command("terminate", child=self.child, timeout="4000")
        self.moon.command("uninstall", child=self.child)
        self.wait(lambda: not self.host.kernel_sas(), 3)
        if self.host.kernel_sas():
            self.complain(f"left after the end: {self.host.kernel_sas()}")
        templates = run("ip", "-n", "moon", "xfrm", "policy").count("tmpl ")
        if templates:
            self.complain(f"{templates} policies left after the end")
        self.compare(always=True)

    def changed(self, old):
        here = self.moon.installed(self.child)
        return len(here) == 1 and here[0]["spi-in"] not in old

    def run(self):
        for number in range(1, MOST_CALLS):
            error = next(ERRORS)
            self.where = f"call {number} fails with errno {error}"
            with open(KNOB, "w") as knob:
                knob.write(f"{number} {error}")
            self.mark = self.failed_calls()
            self.way()
            hit = self.failed_calls() > self.mark
            with open(KNOB, "w") as knob:
                knob.write("0")
            if not hit:
                return number - 1
        self.complain("the way never ends")
        return number


def main():
    child, moon, sun = sys.argv[1:]
    loop = Loop(child, moon, sun)
    start = time.monotonic()
    calls = loop.run()
    print(f"{calls} calls failed in turn in {time.monotonic() - start:.0f} s, {len(loop.wrong)} faults found")
    for text in loop.wrong:
        print(text)
    return 0 if calls > 3 and not loop.wrong else 1


sys.exit(main())
