#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Brings the two CHILD_SAs of the leak matrix up anew, both at once and over VICI: it happens between all cells.

Owns that sequence. Called by lib/leaks.sh. It must not judge: it prints, and ends with 1 when a CHILD_SA does not come up.

    tunnels.py up SOCKET CHILD...      ends all IKE_SAs by force, then initiates these
    tunnels.py down SOCKET             only ends them
"""
import os
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from vici import Vici  # noqa: E402


def down(path):
    end = Vici(path)
    ids = {section["uniqueid"] for event in end.events("list-sa", "list-sas") for section in event.values()}
    for one in ids:
        end.command("terminate", **{"ike-id": one, "force": "yes", "timeout": "2000"})


def up(path, child, failed):
    answer = Vici(path).command("initiate", child=child, timeout="15000")
    if answer.get("success") != "yes":
        failed.append(f"{child}: {answer.get('errmsg')}")


def main():
    what, path, *children = sys.argv[1:]
    down(path)
    if what == "down":
        return 0
    failed = []
    threads = [threading.Thread(target=up, args=(path, child, failed)) for child in children]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    print(*failed, sep="\n")
    return 1 if failed else 0


sys.exit(main())
