#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A steady stream of numbered UDP packets, and the account of it.

Owns the pace, and which packet did not arrive or arrived twice. Called by lib/offload.sh. It must not judge.

    stream.py receive ADDRESS PORT                   prints "received=N lost=N twice=N sent=N rate=N" at the end
    stream.py send ADDRESS PORT RATE STOPFILE        sends so many packets a second until the file is there
"""
import os
import socket
import struct
import sys
import time

# Not in every Python's socket module (asm-generic/socket.h).
SO_RCVBUFFORCE = 33
# Numbers of packets; the end is told by a packet with this number and the count, until it is answered.
END = 0xFFFFFFFF


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def clock(when):
    return time.strftime("%T", time.localtime(when)) + f"{when % 1:.3f}"[1:]


def receive(address, port):
    end = socket.socket(family(address), socket.SOCK_DGRAM)
    end.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
    end.bind((address, port))
    end.settimeout(60)
    print("ready", flush=True)
    seen, twice, got, came = bytearray(), 0, 0, {}
    first = None
    while True:
        data, peer = end.recvfrom(64)
        now = time.time()
        number, total, micros = struct.unpack("!III", data)
        if number == END:
            break
        if first is None:
            first = time.monotonic()
        if number >= len(seen):
            seen.extend(bytes(number + 1024 - len(seen)))
        if seen[number]:
            twice += 1
        else:
            seen[number] = 1
            came[number] = now
            got += 1
    end.sendto(data, peer)
    missing = [number for number in range(total) if number >= len(seen) or not seen[number]]
    print(f"received={got} lost={len(missing)} twice={twice} sent={total} rate={total * 1000000 // max(micros, 1)} "
          f"missing={missing[:12]}", flush=True)
    for number in missing[:3]:
        # On the clock of charon's log: what was going on then.
        near = [f"{other} at {clock(came[other])}" for other in (number - 1, number + 1) if other in came]
        print(f"missing {number}: {', '.join(near)}", flush=True)


def send(address, port, rate, stop):
    end = socket.socket(family(address), socket.SOCK_DGRAM)
    end.connect((address, port))
    start, number, refused = time.monotonic(), 0, []
    while number % 64 or not os.path.exists(stop):
        try:
            end.send(struct.pack("!III", number, 0, 0))
        except OSError as error:
            refused.append((number, error.errno))  # counted as sent: the receiver will miss it
        number += 1
        ahead = start + number / rate - time.monotonic()
        if ahead > 0.002:
            time.sleep(ahead)
    micros = int((time.monotonic() - start) * 1000000)
    if refused:
        print(f"refused={len(refused)} by the sender's own kernel: {refused[:12]}", flush=True)
    end.settimeout(0.5)
    time.sleep(0.5)  # what is under way arrives first
    for _ in range(20):
        try:
            end.send(struct.pack("!III", END, number, micros))
            end.recv(64)
            return
        except OSError:
            continue
    sys.exit("the other end does not answer")


def main():
    what, address, port, *rest = sys.argv[1:]
    if what == "receive":
        receive(address, int(port))
    else:
        send(address, int(port), float(rest[0]), rest[1])


main()
