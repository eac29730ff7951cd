#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Holds UDP packets: held.py FROM TO COUNT FILE. They are begun at once, and sent when FILE exists.

Owns only that. Called by the scenario guard-held. A refusal of the stack is printed and not judged.
"""
import os
import socket
import sys
import time

source, target, count, file = sys.argv[1:]
sockets = []
for _ in range(int(count)):
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind((source, 0))
    one.connect((target, 7777))
    one.send(b"begun", socket.MSG_MORE)
    sockets.append(one)
print("held", flush=True)
for _ in range(600):
    if os.path.exists(file):
        break
    time.sleep(0.1)
for one in sockets:
    try:
        one.send(b"sent")
    except OSError as error:
        print(error)
print("sent", flush=True)
