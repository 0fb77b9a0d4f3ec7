"""A private PostgreSQL server, with the durability that it has by default.

Owns a cluster in `target/peers/work` and its process. PostgreSQL refuses to run as root, so root runs it as the account
that Debian's package made. Never touches a system cluster.
"""

import os
import secrets
import shutil
import signal
import socket
from pathlib import Path

import harness
from harness import Failed, NotHere

DEBIAN_ROOT = Path("/usr/lib/postgresql")
ACCOUNT = "postgres"
ADMIN = "admin"
INITDB_LIMIT_S = 60
READY_LIMIT_S = 60


class Postgres:
    def __enter__(self):
        folder = harness.fresh("postgres")
        self.account = ACCOUNT if os.geteuid() == 0 else None
        self.password = secrets.token_hex(16)
        self.port = harness.free_ports(1)[0]
        self._create(folder)
        log = folder / "server.log"
        # No socket file: its path has to be short, and ours need not be.
        words = [programs() / "postgres", "-D", folder / "data", "-p", self.port]
        words += ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
        self.process = harness.start(words, log, account=self.account, cwd="/")
        try:
            harness.wait_until(self._answers, self.process, log, READY_LIMIT_S, "PostgreSQL")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        # SIGINT is PostgreSQL's "fast" shutdown: sessions are ended, nothing is lost.
        harness.stop(self.process, signal.SIGINT)

    def url(self, database):
        return f"postgresql://{ADMIN}:{self.password}@127.0.0.1:{self.port}/{database}"

    def _create(self, folder):
        secret = folder / "password"
        secret.touch(mode=0o600)
        secret.write_text(self.password)
        if self.account:
            for path in (folder, secret):
                shutil.chown(path, ACCOUNT, ACCOUNT)
        words = [programs() / "initdb", "--auth=scram-sha-256", "--no-sync", "--encoding=UTF8", "--locale=C"]
        words += [f"--username={ADMIN}", f"--pwfile={secret}", f"--pgdata={folder}/data"]
        harness.finish(words, INITDB_LIMIT_S, account=self.account, cwd="/")
        secret.unlink()

    def _answers(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except OSError:
            return False

    @staticmethod
    def version():
        told, _ = harness.finish([programs() / "postgres", "--version"], INITDB_LIMIT_S, cwd="/")
        return "PostgreSQL " + told.split()[2]


def programs():
    """The newest version's programs, where Debian keeps them or in `PATH`."""
    versions = [path for path in DEBIAN_ROOT.glob("*") if path.name.isdigit() and (path / "bin" / "initdb").is_file()]
    if versions:
        return max(versions, key=lambda path: int(path.name)) / "bin"
    found = shutil.which("initdb")
    if not found:
        raise NotHere("PostgreSQL is missing (Debian package postgresql)")
    return Path(found).resolve().parent
