"""DBOS Transact, on SQLite as it comes, on SQLite in WAL mode, and on a PostgreSQL of its own.

DBOS opens SQLite with the mode that it finds, by default a rollback journal, which syncs several times a commit. WAL is
a property of the file, so anyone can set it beforehand: the row beside the default one is the faster way to use it.
"""

import json
import sqlite3
import sys

import harness
from harness import CACHE, HERE, WORK, Failed, NotHere
from postgres import Postgres

LIMIT_S = 180


class Dbos:
    kind = "memory"

    def __init__(self, store):
        self.store = store
        self.name = {
            "sqlite": "DBOS, SQLite as it comes",
            "wal": "DBOS, SQLite in WAL mode",
            "postgresql": "DBOS, PostgreSQL",
        }[store]
        self.durable = {
            "sqlite": "the outcome, committed with a rollback journal and synchronous=FULL: 4 syncs",
            "wal": "the outcome, committed with WAL and synchronous=FULL: 1 sync",
            "postgresql": "the outcome, committed with synchronous_commit=on: 1 sync",
        }[store]

    def install(self):
        folder = harness.install("dbos", make)
        self.python = folder / "bin" / "python"
        self.version = version("dbos")
        if self.store == "postgresql":
            self.version += f" on {Postgres.version()}"

    def measure(self, steps):
        if self.store == "postgresql":
            with Postgres() as server:
                return self._run(server.url("bench"), steps)
        file = harness.fresh("dbos") / "bench.sqlite"
        if self.store == "wal":
            database = sqlite3.connect(file)
            database.execute("pragma journal_mode = wal")
            database.close()
        return self._run(f"sqlite:///{file}", steps)

    def _run(self, url, steps):
        words = [self.python, HERE / "dbos" / "steps.py", url, steps]
        output, _ = harness.finish(words, LIMIT_S, log=WORK / "dbos.log")
        told = json.loads(output.strip().splitlines()[-1])
        if told["recorded"] != steps:
            raise Failed(f"DBOS recorded {told['recorded']} steps instead of {steps}")
        return told["ms"]


def version(package):
    for line in (HERE / "dbos" / "requirements.txt").read_text().splitlines():
        name, _, pinned = line.partition("==")
        if name == package:
            return pinned
    raise NotHere(f"requirements.txt pins no {package}")


def make(folder):
    if sys.version_info < (3, 10):
        raise Failed("DBOS needs Python 3.10 or later")
    log = WORK / "install-dbos.log"
    env = harness.install_env()
    harness.finish([sys.executable, "-m", "venv", folder], harness.INSTALL_LIMIT_S, log=log, env=env)
    words = [folder / "bin" / "python", "-m", "pip", "install", "--disable-pip-version-check", "--only-binary=:all:"]
    words += [f"--cache-dir={CACHE}/pip", "-r", HERE / "dbos" / "requirements.txt"]
    harness.finish(words, harness.INSTALL_LIMIT_S, log=log, env=env)
