"""What every peer of the benchmark stands on: directories, installs, processes with time limits, free ports.

Owns `target/peers`: `installed/` and `cache/` are kept between runs, `work/` lives as long as one. Every process is
started here, in a session of its own, dies with us even when we are killed, and is stopped at the end. Never measures
anything and never writes outside `target/`.
"""

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
TARGET = HERE.parent.parent / "target"
ROOT = TARGET / "peers"
INSTALLED = ROOT / "installed"
CACHE = ROOT / "cache"
WORK = ROOT / "work"

INSTALL_LIMIT_S = 600
# What a process that was asked to end gets before it is killed.
GRACE_S = 10
LOOK_EVERY_S = 0.02
TAIL_LINES = 15


class NotHere(Exception):
    """A peer cannot be had on this machine; the message says why."""


class Failed(Exception):
    """A peer is here but could not be measured; the message says why."""


_started = []
_not_here = {}


def open_work():
    """An empty `work/`, ours alone until we end."""
    ROOT.mkdir(parents=True, exist_ok=True)
    lock = open(ROOT / "lock", "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise SystemExit(f"another bench/peers/run is at work in {ROOT}") from None
    shutil.rmtree(WORK, ignore_errors=True)
    for folder in (INSTALLED, CACHE, WORK / "home", WORK / "tmp"):
        folder.mkdir(parents=True, exist_ok=True)
    return lock


def clear_work():
    shutil.rmtree(WORK, ignore_errors=True)


def fresh(name):
    """A new directory in `work/`.

    Those of earlier rounds stay until the end: ext4 searches long for an inode where many were deleted just before.
    """
    for number in range(1, 1000):
        folder = WORK / f"{name}-{number}"
        if not folder.exists():
            folder.mkdir()
            return folder
    raise Failed(f"too many directories {name}-N in {WORK}")


def peer_env(**extra):
    """The environment of a peer: nothing of the user's settings, nothing written to their home."""
    return {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "HOME": str(WORK / "home"),
        "TMPDIR": str(WORK / "tmp"),
        "SHELL": "/bin/bash",
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "DO_NOT_TRACK": "1",
        **extra,
    }


def start(words, log, account=None, **options):
    """Starts a process that lasts; its output goes to the file `log`."""
    setpriv = shutil.which("setpriv")
    if not setpriv:
        raise NotHere("setpriv is missing (Debian package util-linux)")
    # Changing the account clears the parent-death signal, so that is set last.
    change = [setpriv, f"--reuid={account}", f"--regid={account}", "--init-groups", "--"] if account else []
    words = [*change, setpriv, "--pdeathsig", "KILL", "--", *map(str, words)]
    options.setdefault("env", peer_env())
    options.setdefault("cwd", WORK)
    options.setdefault("stdin", subprocess.DEVNULL)
    with open(log, "wb") as output:
        process = subprocess.Popen(words, stdout=output, stderr=output, start_new_session=True, **options)
    _started.append(process)
    return process


def stop(process, first=signal.SIGTERM):
    """Asks a process to end, then kills what is left of its group."""
    if process.poll() is None:
        _signal_group(process, first)
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            pass
    _signal_group(process, signal.SIGKILL)
    process.wait()
    if process.stdin:
        process.stdin.close()
    if process in _started:
        _started.remove(process)


def stop_all():
    """Stops whatever still runs, newest first. Not to be interrupted."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    for process in reversed(list(_started)):
        stop(process)


def _signal_group(process, number):
    try:
        # Until it is waited for, its number is nobody else's; a group is kept as long as one member lives.
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def finish(words, limit_s, log=None, **options):
    """Runs a process to its end and gives its output and its wall time in seconds."""
    log = log or WORK / "last.log"
    began = time.perf_counter()
    process = start(words, log, **options)
    try:
        status = process.wait(limit_s)
    except subprocess.TimeoutExpired:
        raise Failed(f"{_name(words)} took longer than {limit_s} s; its output ends:\n{tail(log)}") from None
    finally:
        took = time.perf_counter() - began
        stop(process)
    if status != 0:
        raise Failed(f"{_name(words)} ended with {status}; its output ends:\n{tail(log)}")
    return Path(log).read_text(errors="replace"), took


def _name(words):
    return " ".join([Path(words[0]).name, *map(str, words[1:3])])


def tail(log):
    lines = Path(log).read_text(errors="replace").strip().splitlines()
    return "\n".join(f"    {line}" for line in lines[-TAIL_LINES:])


def wait_until(ready, process, log, limit_s, what):
    """Looks until `ready()` is true; fails when the process ends first or the limit passes."""
    deadline = time.monotonic() + limit_s
    while not ready():
        if process.poll() is not None:
            raise Failed(f"{what} ended with {process.returncode}; its output ends:\n{tail(log)}")
        if time.monotonic() > deadline:
            raise Failed(f"{what} was not ready within {limit_s} s; its output ends:\n{tail(log)}")
        time.sleep(LOOK_EVERY_S)


def free_ports(count):
    """Different ports of 127.0.0.1 that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def install(name, make):
    """Calls `make(folder)` unless what it made last time still stands for the same files of `bench/peers/NAME`."""
    if name in _not_here:
        raise NotHere(_not_here[name])
    folder = INSTALLED / name
    wanted = "".join(f"{path.name}\n{path.read_text()}\n" for path in sorted((HERE / name).iterdir()))
    mark = folder / "installed-from"
    if mark.is_file() and mark.read_text() == wanted:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    print(f"installing {name} into {folder.relative_to(TARGET.parent)}", flush=True)
    try:
        make(folder)
    except (Failed, OSError) as error:
        _not_here[name] = str(error)
        raise NotHere(str(error)) from None
    mark.write_text(wanted)
    return folder


def install_npm(name):
    """The packages of `bench/peers/NAME/package.json`, exactly those of its lock file."""
    npm = shutil.which("npm")
    if not npm:
        raise NotHere("npm is missing")

    def make(folder):
        for path in (HERE / name).iterdir():
            shutil.copy(path, folder)
        words = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", f"--cache={CACHE}/npm"]
        finish(words, INSTALL_LIMIT_S, log=WORK / f"install-{name}.log", cwd=folder, env=install_env())

    return install(name, make)


def install_env():
    """The user's own environment: where packages come from is a setting of theirs."""
    return {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(WORK / "tmp")}
