"""What nobody can go below: one commit a step with SQLite alone, one process a step with a shell alone.

Owns no store of Piton's; the settings are those of `crates/store` (WAL, `synchronous=FULL`, pages of 4,096 bytes).
"""

import sqlite3
import time

import harness
from harness import WORK

LIMIT_S = 120


class Commits:
    name = "SQLite alone"
    kind = "bare memory"
    durable = "one row, committed with WAL and synchronous=FULL: 1 sync"

    def install(self):
        self.version = sqlite3.sqlite_version

    def measure(self, steps):
        database = sqlite3.connect(harness.fresh("bare") / "bare.db", isolation_level=None)
        try:
            database.executescript(
                "pragma page_size = 4096; pragma journal_mode = wal; pragma synchronous = full;"
                "create table t (id integer primary key, body text)"
            )
            began = time.perf_counter()
            for _ in range(steps):
                database.execute("insert into t (body) values ('x')")
            return (time.perf_counter() - began) * 1000 / steps
        finally:
            database.close()


class Processes:
    name = "a loop of bash -c true"
    kind = "bare process"
    durable = "nothing: fork, exec and wait"

    def install(self):
        self.version = ""

    def measure(self, steps):
        loop = 'for ((i = 0; i < $1; i++)); do bash -euo pipefail -c true; done'
        words = ["bash", "-c", loop, "bash", steps]
        _, took = harness.finish(words, LIMIT_S, log=WORK / "bare.log")
        return took * 1000 / steps
