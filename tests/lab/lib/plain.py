# SPDX-License-Identifier: GPL-2.0-or-later
"""Sends UDP packets in clear on a device, with any addresses.

Owns the building of these frames. Called by guard.sh: plain.py DEVICE MAC FROM TO COUNT. A packet socket
passes by routing, policies and netfilter: this is what somebody on the wire can send.
"""
import ipaddress
import socket
import struct
import sys


def checksum(data):
    """Of an IP header, and of UDP over IPv6 (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def main():
    device, mac, source, target, count = sys.argv[1:6]
    source, target = ipaddress.ip_address(source), ipaddress.ip_address(target)
    payload = b"in clear"
    length = 8 + len(payload)
    if source.version == 4:
        udp = struct.pack("!HHHH", 7777, 7777, length, 0) + payload
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 1, 0, 64, 17, 0)
        head += source.packed + target.packed
        head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
        kind = 0x0800
    else:
        pseudo = source.packed + target.packed + struct.pack("!IHBB", length, 0, 0, 17)
        udp = struct.pack("!HHHH", 7777, 7777, length, 0) + payload
        udp = udp[:6] + struct.pack("!H", checksum(pseudo + udp) or 0xFFFF) + payload
        head = struct.pack("!IHBB", 6 << 28, length, 17, 64) + source.packed + target.packed
        kind = 0x86DD
    sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sender.bind((device, 0))
    own = sender.getsockname()[4]
    frame = bytes.fromhex(mac.replace(":", "")) + own + struct.pack("!H", kind) + head + udp
    for _ in range(int(count)):
        sender.send(frame)


main()
