"""Piton itself: `piton run` of `steps.star`, from the start of the process to its end.

Each measurement has a store of its own. What a run of no step takes is subtracted.
"""

import json

import harness
from harness import HERE, Failed, NotHere

LIMIT_S = 120


class Piton:
    def __init__(self, binary, what):
        self.binary = binary
        self.parameter = what
        self.kind = {"memory": "memory", "processes": "process"}[what]
        self.name = {"memory": "Piton, steps in memory", "processes": "Piton, sh(\"true\")"}[what]
        self.durable = {
            "memory": "the outcome, in the hash-chained journal, SQLite with WAL and synchronous=FULL: 1 sync",
            "processes": "the intent before its command starts, with the outcome of the step before: 1 sync",
        }[what]

    def install(self):
        if not self.binary.is_file():
            raise NotHere(f"{self.binary} does not exist: `make build`, or name one with --piton")
        told, _ = harness.finish([self.binary, "--version"], LIMIT_S)
        self.version = told.split()[-1]

    def measure(self, steps):
        return (self._run(steps) - self._run(0)) * 1000 / steps

    def _run(self, steps):
        folder = harness.fresh("piton")
        env = harness.peer_env(PITON_HOME=str(folder / "store"))
        words = [self.binary, "run", HERE / "steps.star", f"--{self.parameter}", steps]
        _, took = harness.finish(words, LIMIT_S, cwd=folder, env=env)
        told, _ = harness.finish([self.binary, "show", "@last", "--json"], LIMIT_S, cwd=folder, env=env)
        done = json.loads(told)["counts"]["done"]
        if done != steps:
            raise Failed(f"piton has {done} finished steps instead of {steps}")
        return took
