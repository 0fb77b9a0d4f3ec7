"""A DBOS workflow that makes steps one after the other; prints what one costs, in milliseconds.

usage: steps.py URL STEPS. Runs in the virtual environment that holds DBOS. A whole workflow goes before the measured
one, and what a workflow without steps takes is subtracted.
"""

import json
import sys
import time

from dbos import DBOS, SetWorkflowID


@DBOS.step()
def nothing(number):
    return number


@DBOS.workflow()
def chain(steps):
    for number in range(steps):
        nothing(number)


def seconds(steps, name):
    began = time.perf_counter()
    with SetWorkflowID(name):
        chain(steps)
    return time.perf_counter() - began


def main():
    url, steps = sys.argv[1], int(sys.argv[2])
    DBOS(config={"name": "bench", "system_database_url": url, "log_level": "WARNING"})
    DBOS.launch()
    try:
        seconds(steps, "warm")
        empty = seconds(0, "empty")
        full = seconds(steps, "full")
        recorded = len(DBOS.list_workflow_steps("full"))
    finally:
        DBOS.destroy()
    print(json.dumps({"ms": (full - empty) * 1000 / steps, "recorded": recorded}))


main()
