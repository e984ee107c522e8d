"""What really ran, written by the work itself to a file that no system under test knows of."""

import json
import os
import time


class Witness:
    """One attempt at one piece of work: says when it starts, that it goes on, and when it has ended.

    Each line is one write to a file opened for appending, so that attempts running at once, or
    killed in mid-line, spoil nobody else's.
    """

    def __init__(self, path, trial, phase, key):
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._about = {"attempt": f"{os.getpid()}-{time.monotonic_ns()}", "trial": trial, "phase": phase, "key": key}
        self.say("start")

    def say(self, event):
        """Append a line: start, beat or end."""
        line = {"event": event, "at": time.monotonic(), **self._about}
        os.write(self._file, (json.dumps(line) + "\n").encode())
