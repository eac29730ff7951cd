#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts UDP packets that reach a socket: ears.py PORT COUNTFILE.

Owns the count, "IPV4 IPV6" in COUNTFILE. Called by lib/leaks.sh, and killed by it. A packet counts when an application
could have read it: behind netfilter, behind the kernel's policies, and with its fragments put together.
"""
import os
import selectors
import socket
import sys

port, counts = sys.argv[1:]
file = os.open(counts, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
chosen = selectors.DefaultSelector()
seen = [0, 0]
for index, (family, any_address) in enumerate(((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::"))):
    made = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    made.bind((any_address, int(port)))
    chosen.register(made, selectors.EVENT_READ, index)
while True:
    os.pwrite(file, b"%010d %010d\n" % tuple(seen), 0)
    for key, _ in chosen.select():
        key.fileobj.recvfrom(4096)
        seen[key.data] += 1
