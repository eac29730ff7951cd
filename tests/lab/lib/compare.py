#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Compares what the kernel, the NIC and charon of a host believe to be installed.

Owns the comparison of SAD, SPD, the tables of the virtual NIC and list-sas. Called by lib/offload.sh (agree) and by
faults.py. It must not change anything.

    compare.py HOST DEVICE SOCKET SECONDS    waits until they agree; prints the difference that remains, ends with 1
"""
import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from vici import Vici  # noqa: E402


def run(*command):
    return subprocess.run(command, capture_output=True, text=True).stdout


class Host:
    def __init__(self, name, devices, socket):
        self.name, self.devices, self.vici = name, devices.split(","), Vici(socket)

    def read(self, file):
        text = ""
        for device in self.devices:
            with open(f"/sys/kernel/debug/vnic/{device}/{file}") as rows:
                text += rows.read()
        return text

    def kernel_sas(self):
        """SPI and mode of each ESP SA that has a key: a temporary one of an acquire or of get_spi has none."""
        found = {}
        for text in re.split(r"^(?=src )", run("ip", "-n", self.name, "-d", "xfrm", "state"), flags=re.M):
            spi = re.search(r"proto esp spi 0x([0-9a-f]{8})", text)
            if spi and re.search(r"^\s+(aead|enc) ", text, flags=re.M):
                mode = re.search(r"offload parameters:.* mode (\w+)", text)
                found[spi[1]] = mode[1] if mode else "software"
        return found

    def nic_sas(self):
        rows = [row for row in self.read("sas").splitlines() if "state=valid" in row]
        return {re.search(r" spi=0x(\w+)", row)[1]: re.search(r" type=(\w+)", row)[1] for row in rows}

    def clear_frames(self):
        return sum(int(number) for number in re.findall(r" [tr]x=(\d+)", self.read("watch")))

    def difference(self):
        """What SAD, SPD, NIC and charon do not agree about, or None."""
        sad, nic = self.kernel_sas(), self.nic_sas()
        offloaded = {spi: mode for spi, mode in sad.items() if mode != "software"}
        if offloaded != nic:
            return f"offloaded SAs {offloaded}, in the NIC {nic}"
        policies = run("ip", "-n", self.name, "-d", "xfrm", "policy").count("offload parameters:")
        programmed = len(self.read("policies").splitlines())
        if policies != programmed:
            return f"{policies} offloaded policies, {programmed} in the NIC"
        # A rekeyed or deleted generation is listed until its delay is over: it may be in the kernel, but need not.
        listed = self.vici.children()
        for one in listed:
            if one["state"] == "INSTALLED" and not {one["spi-in"], one["spi-out"]} <= set(sad):
                return f"charon has {one['name']} {one['spi-in']} {one['spi-out']} installed, the kernel has {sad}"
        known = {one.get(key) for one in listed for key in ("spi-in", "spi-out")}
        if set(sad) - known:
            return f"the kernel has {sorted(set(sad) - known)}, charon does not"
        for one in listed:
            modes = {sad[one[key]] for key in ("spi-in", "spi-out")} if one["state"] == "INSTALLED" else set()
            if len(modes) > 1:
                return f"{one['name']} is in several modes: {sorted(modes)}"
        return None

    def settled(self, seconds):
        """The difference that remains after so many seconds at most."""
        end = time.monotonic() + seconds
        while True:
            found = self.difference()
            if not found or time.monotonic() > end:
                return found
            time.sleep(0.1)


if __name__ == "__main__":
    name, devices, socket, seconds = sys.argv[1:]
    remains = Host(name, devices, socket).settled(float(seconds))
    if remains:
        print(remains)
        sys.exit(1)
