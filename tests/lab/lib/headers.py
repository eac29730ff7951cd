#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Sends UDP packets over IPv6 with a destination options header: headers.py FROM TO COUNT.

Owns only that. Called by scenarios of the gate. A refusal of the stack is not judged.
"""
import socket
import sys
import time

source, target, count = sys.argv[1:]
sender = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
# IPV6_DSTOPTS: eight bytes of padding.
sender.setsockopt(socket.IPPROTO_IPV6, 59, bytes([0, 0, 1, 4, 0, 0, 0, 0]))
sender.bind((source, 0))
for _ in range(int(count)):
    try:
        sender.sendto(b"in clear", (target, 7777))
    except OSError as error:
        print(error)
    time.sleep(0.05)
