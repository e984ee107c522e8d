"""The script of misbehaviour: which request is answered wrongly, and what becomes of which machine."""

import random
import re
import threading


class Script:
    """Rules are for requests, fates for machines; each is used up after `times` uses, once by default."""

    def __init__(self):
        self.rules, self.fates, self.injected = [], [], 0
        self.lock = threading.Lock()

    def rule(self, request, name):
        """The first rule for this request ("METHOD /path") about this deployment, or an empty one."""
        return self._use(self.rules, name, lambda rule: re.fullmatch(rule["match"], request))

    def fate(self, name):
        """What is to become of a new machine."""
        return dict(self._use(self.fates, name, lambda _: True))

    def clear(self):
        self.rules.clear()
        self.fates.clear()

    def _use(self, entries, name, fits):
        with self.lock:
            for entry in entries:
                if entry.setdefault("times", 1) <= 0 or not fits(entry) or not re.search(entry.get("about", ""), name):
                    continue
                if entry.get("skip", 0) > 0:
                    entry["skip"] -= 1
                    continue
                if "chance" in entry:
                    dice = entry.setdefault("dice", random.Random(entry.get("seed", 0)))
                    if dice.random() >= entry["chance"]:
                        continue
                entry["times"] -= 1
                self.injected += 1
                return entry
        return {}
