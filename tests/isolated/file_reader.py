"""Answers, for each line [question, path] on stdin, what py-lmdb finds in a cache file."""

from __future__ import annotations

import json
import sys

import lmdb

NAMES = ("meta", "access", "scope", "expiry", "refresh", "identity", "account", "app", "note")


def dump(env: lmdb.Environment) -> object:
    found = {}
    databases = {name: env.open_db(name.encode(), create=False) for name in NAMES}
    with env.begin() as txn:
        for name, database in databases.items():
            found[name] = {key.hex(): value.hex() for key, value in txn.cursor(database)}
    return found


def readers(env: lmdb.Environment) -> object:
    return [int(line.split()[0]) for line in env.readers().splitlines()[1:]]


def last_txnid(env: lmdb.Environment) -> object:
    return env.info()["last_txnid"]


for line in sys.stdin:
    question, path = json.loads(line)
    with lmdb.open(path, subdir=False, readonly=True, max_dbs=len(NAMES), map_size=1 << 30) as opened:
        print(json.dumps({"dump": dump, "readers": readers, "last_txnid": last_txnid}[question](opened)), flush=True)
