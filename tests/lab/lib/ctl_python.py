#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Asks the plugin's socket with strongSwan's own Python package `vici`, as people's scripts do.

Owns nothing but the calls. The package is found by PYTHONPATH. It must not judge: it prints JSON, one message a line, and
ends with 1 when it was refused.

    ctl_python.py ask SOCKET COMMAND
    ctl_python.py stream SOCKET COMMAND EVENT
    ctl_python.py events SOCKET SECONDS
"""
import json
import socket
import sys
import time

# Beside this file is a vici.py of the lab's own, which is not meant.
del sys.path[0]
import vici  # noqa: E402


def plain(value):
    """Its dicts of bytes as text."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def show(message):
    print(json.dumps(plain(message)), flush=True)


def main(name, path, *arguments):
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    session = vici.Session(connection)
    if name == "ask":
        show(session.request(arguments[0]))
    elif name == "stream":
        for message in session.streamed_request(*arguments):
            show(message)
    else:
        end = time.monotonic() + float(arguments[0])
        ready = False
        # listen() ends with the connection, or by this.
        try:
            for kind, message in session.listen(["unit"], timeout=1):
                if not ready:
                    # From here on nothing is missed; the scenario waits for it.
                    show({"listening": "yes"})
                    ready = True
                if kind is not None:
                    show(message)
                if time.monotonic() > end:
                    return
        except (OSError, EOFError):
            return


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Exception as error:
        sys.exit(f"{type(error).__name__}: {error}")
