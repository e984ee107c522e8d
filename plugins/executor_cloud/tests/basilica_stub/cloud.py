"""The stub's books: prices, stock, balance, and every machine ever made."""

import random
import re
import threading
import time
import uuid
from types import SimpleNamespace

import cage
import wire
from machines import Machine
from script import Script


class Cloud:
    """`options`: see server.py. Dollars an hour and GPU; stock is a number of GPUs, or None for plenty."""

    def __init__(self, folder, options):
        self.folder, self.lag_s, self.gone_lag_s = folder, options.lag_s, options.gone_lag_s
        self.prices, self.stock = dict(options.price), {}
        self.balance, self.min_balance = options.balance, options.min_balance
        self.token, self.revoked, self.base = options.token, set(), ""
        self.script, self.machines, self.calls = Script(), [], {}
        self.house = SimpleNamespace(
            boot_s=options.boot_s, backoff_s=options.backoff_s, grace_s=options.grace_s,
            image_env=options.image_env, cage=cage.Cage(wanted=options.namespaces),
        )  # fmt: skip
        self.dice = random.Random(options.seed)
        self.lock = threading.RLock()

    # What a customer does.

    def allowed(self, header):
        """None, or why this Authorization header is not accepted."""
        given = (header or "").removeprefix("Bearer ")
        if not given:
            return wire.error(401, "Authentication required: no token", "BASILICA_API_AUTH_MISSING")
        if given in self.revoked:
            return wire.error(401, "Token has been revoked", "BASILICA_API_AUTH_REVOKED")
        return None if given == self.token else wire.error(401, "Authentication error: invalid token")

    def create(self, order):
        """(status, answer). The name is a label: two creates with one name make two machines."""
        if wrong := _wrong(order):
            return 400, wire.error(400, f"Invalid request: {wrong}")
        with self.lock:
            if (left := self.left_usd()) < self.min_balance:
                least = f"Current balance: {left:.2f}, Required minimum: {self.min_balance:g}"
                text = f"Your account balance is below the minimum required to create rentals. {least}"
                return 402, wire.error(402, text)
            gpus = (order.get("resources") or {}).get("gpus")
            count = gpus["count"] if gpus else 0
            models = gpus["model"] if gpus else ["cpu"]
            kinds = [self._kind(model, gpus) for model in models if self.left(model) >= max(count, 1)]
            kind = next(filter(None, kinds), "")
            if not kind:
                self.script.injected += 1
                return 503, wire.error(503, f"{wire.NO_NODES} matching requirements: {count}x {'/'.join(models)}")
            machine_id = str(uuid.UUID(int=self.dice.getrandbits(128), version=4))
            price, fate = self.prices[kind] * max(count, 1), self.script.fate(order["instanceName"])
            machine = Machine(machine_id, order, price, kind, self.folder / machine_id, fate, self.house)
            self.machines.append(machine)
            return 201, wire.created(machine, self.base)

    def _kind(self, model, gpus):
        """The line of the price list that serves this model: the spot one where spot is asked for."""
        spot = f"{model}:spot"
        return spot if gpus and gpus.get("spot") and spot in self.prices else model if model in self.prices else ""

    def left(self, model):
        """GPUs of a model that nobody has."""
        if self.stock.get(model) is None:
            return 1_000_000
        taken = (m for m in self.machines if m.gone is None and m.stage != "failed")
        return self.stock[model] - sum(m.gpus or 1 for m in taken if m.hardware.partition(":")[0] == model)

    def left_usd(self):
        """What is left of the balance."""
        return self.balance - sum(machine.usd() for machine in self.machines)

    def get(self, machine_id):
        """The machine with this id as a customer sees it: immediate, but for ghosts."""
        return next((m for m in self.machines if m.id == machine_id and self._seen(m, 0.0)), None)

    def listed(self):
        """What the lagging index shows."""
        old = time.monotonic() - self.lag_s
        return [m for m in self.machines if m.made <= old and self._seen(m, self.gone_lag_s)]

    def _seen(self, machine, gone_lag_s):
        late = max(gone_lag_s, float(machine.fate.get("ghost_s", 0.0)))
        return machine.gone is None or time.monotonic() < machine.gone + late

    # What only the test does.

    def admin(self, body):
        """The tests' own door: change the cloud, read the books."""
        with self.lock:
            self.change(body)
        known = cage.places()
        return {
            "machines": [machine.facts(known) for machine in self.machines], "injected": self.script.injected,
            "balance": self.left_usd(), "calls": dict(self.calls), "networks": self.house.cage.networks,
            "trees": self.house.cage.trees,
        }  # fmt: skip

    def change(self, body):
        """Apply the changes in a body of the admin door."""
        if body.get("behave"):
            self.script.clear()
        self.script.rules.extend(body.get("rules", []))
        self.script.fates.extend(body.get("fates", []))
        for fate in body.get("now", []):
            for machine in self.machines:
                if machine.gone is None and re.search(fate.get("about", ""), machine.name):
                    machine.fate = machine.fate | fate
                    machine.deletes_refused = int(fate.get("delete_fails", machine.deletes_refused))
                    self.script.injected += 1
        if "token" in body:
            self.revoked.add(self.token)
            self.revoked.discard(body["token"])
        self.prices.update(body.get("prices", {}))
        self.stock.update(body.get("stock", {}))
        for name in ("token", "balance", "min_balance", "lag_s", "gone_lag_s"):
            if name in body:
                setattr(self, name, body[name])
        for name in ("boot_s", "backoff_s", "grace_s"):
            if name in body:
                setattr(self.house, name, body[name])

    def close(self):
        """The end of everything."""
        for machine in self.machines:
            machine.end("stub closed")
        for machine in self.machines:
            machine.thread.join(5)


def _wrong(order):
    """What the API refuses about an order, or nothing."""
    gpus = (order.get("resources") or {}).get("gpus")
    name = order.get("instanceName") or ""
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name):
        return f"instance_name '{name}' must be a valid DNS label of at most 63 characters"
    if not order.get("image"):
        return "image cannot be empty"
    if not 0 < order.get("port", 0) <= 65535:
        return f"port must be in range 1-65535, got {order.get('port')}"
    if order.get("replicas") != 1:
        return f"replicas {order.get('replicas')} exceeds maximum of 1"
    if gpus and not 1 <= gpus.get("count", 0) <= 8:
        return f"GPU count {gpus.get('count')} is not in 1-8"
    if gpus and not gpus.get("model"):
        return "GPU model list cannot be empty"
    return ""
