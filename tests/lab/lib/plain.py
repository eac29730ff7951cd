# SPDX-License-Identifier: GPL-2.0-or-later
"""Sends UDP packets in clear on a device, with any addresses and in any shape.

Owns the building of these frames. Called by guard.sh: plain.py DEVICE MAC MARK COUNT SHAPE FROM TO [FROM TO...]; a shape is
whole, fragments or options. A packet socket passes by routing, policies and the netfilter hooks of IP: this is what somebody
on the wire can send. Only the egress of the device sees it, with the mark.
"""
import contextlib
import ipaddress
import socket
import struct
import sys

UDP, FRAGMENT, OPTIONS = 17, 44, 60
PAYLOAD = b"in clear, 16 by."
NUMBER = 0x4711


def checksum(data):
    """Of an IP header, and of UDP over IPv6 (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip4(source, target, content, options=b"", fragment=0, number=NUMBER):
    words = (20 + len(options)) // 4
    head = struct.pack("!BBHHHBBH", 0x40 | words, 0, words * 4 + len(content), number, fragment, 64, UDP, 0)
    head += source.packed + target.packed + options
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + content


def ip6(source, target, content, following=UDP):
    return struct.pack("!IHBB", 6 << 28, len(content), following, 64) + source.packed + target.packed + content


def udp(source, target):
    length = 8 + len(PAYLOAD)
    plain = struct.pack("!HHHH", 7777, 7777, length, 0) + PAYLOAD
    if source.version == 4:
        return plain
    pseudo = source.packed + target.packed + struct.pack("!IHBB", length, 0, 0, UDP)
    return plain[:6] + struct.pack("!H", checksum(pseudo + plain) or 0xFFFF) + PAYLOAD


def packets(source, target, shape, number):
    """One UDP datagram as IP packets."""
    whole = udp(source, target)
    if source.version == 4:
        if shape == "fragments":
            return [ip4(source, target, whole[:16], fragment=0x2000, number=number),
                    ip4(source, target, whole[16:], fragment=2, number=number)]
        # Three no operations and the end of the list.
        return [ip4(source, target, whole, options=b"\1\1\1\0" if shape == "options" else b"", number=number)]
    if shape == "fragments":
        first = struct.pack("!BBHI", UDP, 0, 1, number) + whole[:16]
        second = struct.pack("!BBHI", UDP, 0, 16, number) + whole[16:]
        return [ip6(source, target, first, FRAGMENT), ip6(source, target, second, FRAGMENT)]
    if shape == "options":
        return [ip6(source, target, bytes([UDP, 0, 1, 4, 0, 0, 0, 0]) + whole, OPTIONS)]
    return [ip6(source, target, whole)]


def main():
    device, mac, mark, count, shape, *pairs = sys.argv[1:]
    sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, int(mark, 0))
    sender.bind((device, 0))
    own = sender.getsockname()[4]
    for source, target in zip(pairs[::2], pairs[1::2]):
        source, target = ipaddress.ip_address(source), ipaddress.ip_address(target)
        kind = 0x0800 if source.version == 4 else 0x86DD
        head = bytes.fromhex(mac.replace(":", "")) + own + struct.pack("!H", kind)
        for index in range(int(count)):
            for packet in packets(source, target, shape, NUMBER + index):
                # What the egress drops is told here; who counts decides what it means.
                with contextlib.suppress(OSError):
                    sender.send(head + packet)


main()
