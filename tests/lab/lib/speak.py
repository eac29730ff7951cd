#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Sends UDP packets through the stack: speak.py COUNT FROM TO [FROM TO...], from port 7778 to port 7777.

Owns only that, in one process, since starting one takes long in the lab. Called by scenarios of the gate. A refusal of the
stack is printed and not judged.
"""
import socket
import sys

count, *pairs = sys.argv[1:]
for source, target in zip(pairs[::2], pairs[1::2]):
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sender.bind((source, 7778))
        for _ in range(int(count)):
            try:
                sender.sendto(b"hello", (target, 7777))
            except OSError as error:
                print(source, target, error)
