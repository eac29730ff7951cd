#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A client of the plugin's socket that is none of ours, well-behaved or not.

Owns what scenarios ask of /run/charon.fastswan. Uses the protocol of vici.py beside it. It must not judge what it is told:
it prints JSON, one message a line, and ends with 1 when it was refused.

    ctl_client.py ask SOCKET COMMAND
    ctl_client.py stream SOCKET COMMAND EVENT
    ctl_client.py events SOCKET SECONDS
    ctl_client.py attack SOCKET CLIENTS
"""
import json
import random
import socket
import sys
import time

from vici import Vici, parse

REQUEST, RESPONSE, UNKNOWN, REGISTER, UNREGISTER, CONFIRM, EVENT_UNKNOWN, EVENT = range(8)


def show(message):
    print(json.dumps(message), flush=True)


def ask(path, command):
    vici = Vici(path)
    vici.send(REQUEST, command)
    kind, body = vici.packet()
    if kind != RESPONSE:
        sys.exit(f"{command}: refused ({kind})")
    show(parse(body))


def stream(path, command, event):
    vici = Vici(path)
    vici.send(REGISTER, event)
    if vici.packet()[0] != CONFIRM:
        sys.exit(f"{event}: no such event")
    vici.send(REQUEST, command)
    while True:
        kind, body = vici.packet()
        if kind == RESPONSE:
            return
        if kind != EVENT:
            sys.exit(f"{command}: refused ({kind})")
        show(parse(body[1 + body[0]:]))


def events(path, seconds):
    vici = Vici(path)
    vici.send(REGISTER, "unit")
    if vici.packet()[0] != CONFIRM:
        sys.exit("no event of that name")
    # From here on nothing is missed; the scenario waits for it.
    show({"listening": "yes"})
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        vici.socket.settimeout(left)
        try:
            kind, body = vici.packet()
        except (TimeoutError, EOFError):
            return
        if kind == EVENT:
            show(parse(body[1 + body[0]:]))


def attack(path, count):
    """Clients that connect and stay, send half a packet, garbage, or ask for much and read nothing."""
    random.seed(1)
    held = []
    for number in range(count):
        client = socket.socket(socket.AF_UNIX)
        client.setblocking(False)
        try:
            client.connect(path)
            kind = number % 4
            if kind == 1:
                client.send(b"\0\0\0\x20\0")
            elif kind == 2:
                client.send(random.randbytes(512))
            elif kind == 3:
                client.send(b"\0\0\0\x07\0\x05units" * 1000)
            held.append(client)
        except OSError:
            client.close()
    # They are all held for a while; the plugin lets go of them by itself.
    time.sleep(5)


if __name__ == "__main__":
    name, arguments = sys.argv[1], sys.argv[2:]
    numbers = {"events", "attack"}
    if name in numbers:
        arguments[1] = int(arguments[1])
    {"ask": ask, "stream": stream, "events": events, "attack": attack}[name](*arguments)
