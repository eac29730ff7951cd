#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Traffic that never stops, whatever happens to SAs, links and daemons.

Owns the pace and the count of what it tried to send. Called by lib/leaks.sh, one process per host. It must not judge, and
it must not end because a packet cannot be sent: that the stack refuses one is what it is there to try.

    chatter.py STOPFILE COUNTFILE FROM TO [FROM TO ...]

Small UDP packets go from each FROM to its TO (the discard port), twenty rounds a second; COUNTFILE holds the number of
rounds, so that a cell of the leak matrix knows that there was traffic.
"""
import os
import socket
import sys
import time

PERIOD = 0.05


def end(source):
    made = socket.socket(socket.AF_INET6 if ":" in source else socket.AF_INET, socket.SOCK_DGRAM)
    made.setblocking(False)
    made.bind((source, 0))
    return made


def main():
    stop, counts, *rest = sys.argv[1:]
    flows = [(end(source), (target, 9)) for source, target in zip(rest[::2], rest[1::2])]
    file = os.open(counts, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    rounds = 0
    while not os.path.exists(stop):
        for sender, target in flows:
            try:
                sender.sendto(b"in clear", target)
            except OSError:
                pass
        rounds += 1
        os.pwrite(file, b"%010d\n" % rounds, 0)
        time.sleep(PERIOD)


main()
