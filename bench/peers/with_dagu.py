"""Dagu: `dagu start` of a chain whose steps each run `true` in a shell of their own, as Piton's `sh("true")` does.

The cost of a step grows with the chain (the state of the whole run is written at each change), so two lengths are
measured: all steps in one chain, and as many in chains of 100. What a chain of one step takes is subtracted.
"""

import json

import harness
from harness import HERE, Failed

SHORT = 100
# One long chain takes half a minute.
LONG_ROUNDS = 2
LIMIT_S = 300


class Dagu:
    kind = "process"
    durable = "its two output files: 2 syncs; the run's state is appended without one"

    def __init__(self, short):
        self.short = short
        self.rounds = None if short else LONG_ROUNDS
        self.name = f"Dagu, chains of {SHORT} steps" if short else "Dagu, one chain"

    def install(self):
        folder = harness.install_npm("dagu")
        self.program = folder / "node_modules" / "@dagu-org" / "dagu-linux-x64" / "bin" / "dagu"
        packages = json.loads((HERE / "dagu" / "package.json").read_text())["dependencies"]
        self.version = packages["@dagu-org/dagu-linux-x64"]

    def measure(self, steps):
        folder = harness.fresh("dagu")
        chains = [SHORT] * (steps // SHORT) if self.short else [steps]
        # Its first start makes its directories.
        self._run(folder, 1)
        alone = self._run(folder, 1)
        took = sum(self._run(folder, length) - alone for length in chains)
        return took * 1000 / (sum(chains) - len(chains))

    def _run(self, folder, steps):
        lines = ["type: chain", "shell: /bin/bash -e", "steps:"]
        for number in range(steps):
            lines += [f"  - name: s{number}", "    command: \"true\""]
        chain = folder / f"chain-{steps}.yaml"
        chain.write_text("\n".join(lines) + "\n")
        env = harness.peer_env(DAGU_HOME=str(folder / "home"))
        _, took = harness.finish([self.program, "start", "--quiet", chain], LIMIT_S, cwd=folder, env=env)
        states = folder.glob(f"home/data/dag-runs/chain-{steps}/**/status.jsonl")
        newest = max(states, key=lambda path: path.stat().st_mtime)
        nodes = json.loads(newest.read_text().splitlines()[-1])["nodes"]
        # 4 is Dagu's number for a step that succeeded.
        done = sum(1 for node in nodes if node["status"] == 4)
        if done != steps:
            raise Failed(f"Dagu has {done} finished steps instead of {steps}")
        return took
