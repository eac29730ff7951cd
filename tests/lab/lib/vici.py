#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Speaks VICI (strongSwan's src/libcharon/plugins/vici/README.md) to one or two charons over a socket that stays open.

Owns what swanctl is too slow for in the lab, since each of its runs loads libraries for a quarter of a second: lists to
compare, and rekeys by the hundred. Called by lib/offload.sh. It must not judge: it prints, and ends with 1 when what was
asked for did not come about in time.

    vici.py list SOCKET [noblock]                one CHILD_SA per line; not those of an IKE_SA that is being worked on
    vici.py command SOCKET NAME [KEY=VALUE...]   any command without an answer in lists
    vici.py rekeys CHILD COUNT SOCKET SOCKET     rekeys a CHILD_SA that often, by turns
    vici.py collide CHILD COUNT SOCKET SOCKET    both rekey it at the same moment
    vici.py initiate-all SOCKET WORKERS          every child that is configured, so many at once
"""
import socket
import struct
import sys
import threading
import time

SECTION, SECTION_END, VALUE, LIST, ITEM, LIST_END = range(1, 7)
# A rekey takes 20 to 200 ms here; what takes this long does not come.
PATIENCE = 15


def parse(data, at=0):
    """A section's content as a dict."""
    found, names = {}, None
    stack = [found]
    while at < len(data):
        kind = data[at]
        at += 1
        if kind in (SECTION, VALUE, LIST):
            size = data[at]
            name = data[at + 1:at + 1 + size].decode()
            at += 1 + size
        if kind in (VALUE, ITEM):
            size = struct.unpack_from("!H", data, at)[0]
            value = data[at + 2:at + 2 + size].decode(errors="replace")
            at += 2 + size
        if kind == SECTION:
            stack.append(stack[-1].setdefault(name, {}))
        elif kind == SECTION_END:
            stack.pop()
        elif kind == VALUE:
            stack[-1][name] = value
        elif kind == LIST:
            names = stack[-1].setdefault(name, [])
        elif kind == ITEM:
            names.append(value)
    return found


class Vici:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(path)

    def exactly(self, size):
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                raise EOFError("charon closed its socket")
            data += more
        return data

    def packet(self):
        data = self.exactly(struct.unpack("!I", self.exactly(4))[0])
        return data[0], data[1:]

    def send(self, kind, name, arguments=b""):
        data = bytes([kind, len(name)]) + name.encode() + arguments
        self.socket.sendall(struct.pack("!I", len(data)) + data)

    def ask(self, name, **values):
        """Sends a command; answer() reads what comes back."""
        data = b""
        for key, value in values.items():
            data += bytes([VALUE, len(key)]) + key.encode() + struct.pack("!H", len(value)) + value.encode()
        self.send(0, name, data)

    def answer(self):
        while True:
            kind, data = self.packet()
            if kind == 1:
                return parse(data)
            if kind == 2:
                raise ValueError("charon does not know this command")

    def command(self, name, **values):
        self.ask(name, **values)
        return self.answer()

    def events(self, event, command, **values):
        """What a command streams before it answers."""
        self.send(3, event)
        self.packet()
        self.ask(command, **values)
        found = []
        while True:
            kind, data = self.packet()
            if kind == 1:
                break
            if kind == 7:
                found.append(parse(data[1 + data[0]:]))
        self.send(4, event)
        self.packet()
        return found

    def children(self, **values):
        """All CHILD_SAs, each with the name of its IKE_SA."""
        found = []
        for event in self.events("list-sa", "list-sas", **values):
            for ike, section in event.items():
                for child in section.get("child-sas", {}).values():
                    child["ike"] = ike
                    found.append(child)
        return found

    def succeeds(self, name, **values):
        return self.command(name, **values).get("success") == "yes"

    def installed(self, name):
        return [child for child in self.children() if child["name"] == name and child["state"] == "INSTALLED"]


def pair(ends, name):
    """The SPIs of the one CHILD_SA that both ends have, or None while they are at work."""
    both = [end.installed(name) for end in ends]
    if any(len(one) != 1 for one in both):
        return None
    a, b = both[0][0], both[1][0]
    if (a["spi-in"], a["spi-out"]) != (b["spi-out"], b["spi-in"]):
        return None
    return a["spi-in"], a["spi-out"]


def settled(ends, name, old):
    """Waits until both ends have one CHILD_SA again, and it is another one."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        now = pair(ends, name)
        if now and now != old:
            return now
        time.sleep(0.01)
    for one in ends:
        for child in one.children():
            print("child", child["name"], child["state"], child.get("spi-in"), child.get("spi-out"))
    return None


def rekey(name, count, ends, both):
    old = pair(ends, name)
    if not old:
        print(f"there is no {name} to begin with")
        return 1
    slowest, start = 0, time.monotonic()
    for number in range(count):
        begin = time.monotonic()
        who = ends if both else [ends[number % 2]]
        for end in who:
            end.ask("rekey", child=name)
        for end in who:
            answer = end.answer()
            if answer.get("success") != "yes":
                print(f"rekey {number + 1} was refused: {answer}")
                return 1
        old = settled(ends, name, old)
        if not old:
            print(f"rekey {number + 1} of {name} did not come to an end within {PATIENCE} s")
            return 1
        slowest = max(slowest, time.monotonic() - begin)
    took = time.monotonic() - start
    print(f"{count} rekeys in {took:.1f} s, the slowest {slowest * 1000:.0f} ms")
    return 0


def initiate_all(path, workers):
    """Each connection has one worker, since an IKE_SA has one exchange at a time."""
    todo = [[(name, child) for child in conn["children"]]
            for event in Vici(path).events("list-conn", "list-conns") for name, conn in event.items()]
    start, failed, lock = time.monotonic(), [], threading.Lock()

    def work():
        end = Vici(path)
        end.socket.settimeout(120)
        while True:
            with lock:
                if not todo:
                    return
                mine = todo.pop()
            for ike, child in mine:
                if not end.succeeds("initiate", child=child, ike=ike, timeout="60000"):
                    failed.append(child)

    threads = [threading.Thread(target=work) for _ in range(workers)]
    count = sum(len(one) for one in todo)
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    print(f"{count - len(failed)} of {count} in {time.monotonic() - start:.0f} s", *failed[:5])
    return 1 if failed else 0


def main():
    what, *rest = sys.argv[1:]
    if what == "list":
        for child in Vici(rest[0]).children(**({"noblock": "yes"} if rest[1:] == ["noblock"] else {})):
            print(child["name"], child["state"], child.get("spi-in", "-"), child.get("spi-out", "-"),
                  *(f"{key}={child[key]}" for key in ("reqid", "packets-in", "packets-out", "use-in", "use-out")
                    if key in child))
        return 0
    if what == "command":
        answer = Vici(rest[0]).command(rest[1], **dict(one.split("=", 1) for one in rest[2:]))
        print(answer)
        return 0 if answer.get("success") == "yes" else 1
    if what in ("rekeys", "collide"):
        return rekey(rest[0], int(rest[1]), [Vici(path) for path in rest[2:4]], what == "collide")
    if what == "initiate-all":
        return initiate_all(rest[0], int(rest[1]))
    sys.exit(__doc__)


if __name__ == "__main__":
    sys.exit(main())
