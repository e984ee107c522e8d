"""A controller with one promise of its own code broken, and a moment at which it is killed.

`python mutant_driver.py MUTANT KILL ARGUMENTS…`: MUTANT is a function below or "none"; KILL is
"before:WORDS" or "after:WORDS" (the recording of the end of a job with these words in its token) or "none".
"""

import json
import os
import signal
import sys
import time
from dataclasses import replace

from core.__main__ import main
from core.budget.ledger import Cost
from core.contracts import Handle
from core.journal.events import JobEnded
from core.study import afford, effects, engine, jobs, leftovers
from core.study.recorder import Recorder
from overnight_example.cloud import CloudExecutor


def token_not_sent():
    """The cloud is not told which job a machine is for."""
    once = CloudExecutor._once

    def careless(self, method, path, body):
        if method == "POST":
            order = json.loads(body)
            body = json.dumps({**order, "key": "", "token": ""}).encode()
        return once(self, method, path, body)

    CloudExecutor._once = careless


def lag_ignored():
    """The first listing is believed."""

    def find(self, token):
        rows = [row for row in self._listed(token.partition("/")[0]) if row["token"] == token]
        return Handle(token, rows[0]["id"]) if rows else None

    CloudExecutor.find = find


def reservation_skipped():
    """What runs is not counted before it ends."""
    ledger, promised = afford.ledger, afford.promised
    afford.ledger = lambda *arguments, **more: replace(ledger(*arguments, **more), reserved=Cost())
    afford.promised = lambda *arguments, **more: replace(promised(*arguments, **more), usd=0.0)


def result_journaled_late():
    """A machine is deleted as soon as its outputs came, before the journal knows of them."""
    collect = effects.collect

    def hasty(executor, handle, *more):
        found = collect(executor, handle, *more)
        effects.cancel(executor, handle, 0.0, more[-1])
        return found

    effects.collect = hasty


def attempt_fence_removed():
    """All attempts have one token."""
    engine.token = jobs.token = lambda study, trial, phase, attempt: f"{study}/{trial:04d}/{phase}/a1"


def reap_skipped():
    """Nobody looks for what earlier controllers left."""
    leftovers.clear = lambda parts, recorder: None


def kill_at(moment, words):
    """SIGKILL this controller around one entry of its journal."""
    record = Recorder.record

    def last(self, *events, **more):
        fatal = any(isinstance(event, JobEnded) and words in event.token for event in events)
        if fatal and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        record(self, *events, **more)
        if fatal:
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(10)

    Recorder.record = last


if __name__ == "__main__":
    effects._SEARCH_S = (0.05, 0.05)  # core's own patience would hide a short listing lag
    mutant, kill, *arguments = sys.argv[1:]
    if mutant != "none":
        globals()[mutant]()
    if kill != "none":
        kill_at(*kill.split(":"))
    sys.exit(main(arguments))
