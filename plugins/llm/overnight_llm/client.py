"""The client: one question, within its time and the study's money, until an answer passes its check."""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from core import BudgetSpent, Purse
from overnight_llm import process
from overnight_llm.answers import MAX_ANSWER, Rejected, encodable, plain
from overnight_llm.outcome import Kind, Outcome
from overnight_llm.prices import Price
from overnight_llm.settings import Endpoint, LlmSettings

T = TypeVar("T")
Message = dict[str, str]

_BACKOFF_S = 0.5
_LONGEST_BACKOFF_S = 20.0
_ECHO = 4000  # characters of a refused answer that are sent back with the reason


class Client:
    """Asks a language model for one policy. Used from one thread.

    Construction is cheap; litellm is loaded, in a process of its own, by the first question.
    """

    def __init__(self, settings: LlmSettings) -> None:
        """Raises SetupError when no model is named or a key is missing."""
        self.settings = settings
        self._endpoints = settings.endpoints()
        self._models: dict[str, dict[str, Any]] = {}
        self._schemaless: set[str] = set()
        self._noticed: set[str] = set()
        self._rest_until = 0.0

    def ask(
        self,
        messages: Sequence[Message],
        check: Callable[[str], T],
        *,
        schema: Mapping[str, Any] | None = None,
        seed: int | None = None,
        purse: Purse | None = None,
        purpose: str = "a question to a language model",
    ) -> Outcome[T]:
        """Ask until an answer passes `check`, or say why there is none. Never raises for what a
        model or a provider does.

        messages: OpenAI's {"role": …, "content": …}. check: makes a value of the answer's text, or
        raises Rejected with what the model should do better. schema: JSON schema of the answer,
        an object; sent where the model takes one. seed: sent to the provider (most ignore it).
        purse: where the worst case of each call is reserved before and settled after it.
        """
        sent = [{name: encodable(text) for name, text in message.items()} for message in messages]
        question = _Question(self, sent, schema, seed, purse, purpose)
        if time.monotonic() < self._rest_until:
            left = self._rest_until - time.monotonic()
            return question.outcome(None, "resting", f"not asked for {left:.0f} s more: it did not answer before")
        for endpoint in self._endpoints:
            found = question.put_to(endpoint, check)
            if found.kind not in ("unreachable", "refused"):
                break
            if endpoint is not self._endpoints[-1]:
                question.notices.append(f"{endpoint.model} did not answer ({found.problem}): the next model is asked")
        if found.kind in ("unreachable", "refused"):
            lost = time.monotonic() - question.counted
            self._rest_until = time.monotonic() + self.settings.rest * lost
        return found

    def say_once(self, text: str) -> list[str]:
        """The text the first time, nothing afterwards."""
        new = text not in self._noticed
        self._noticed.add(text)
        return [text] if new else []

    def facts(self, endpoint: Endpoint, stopping: Callable[[], bool]) -> dict[str, Any]:
        """What litellm's table says of a model. Raises Late or Stopping."""
        if endpoint.model not in self._models:
            self._models[endpoint.model] = process.call({"do": "model", "model": endpoint.model}, 30.0, stopping)
        return self._models[endpoint.model]

    def price(self, endpoint: Endpoint, facts: Mapping[str, Any]) -> Price:
        """The configured price, else the table's, else the ceiling."""
        settings = self.settings
        if settings.usd_per_mtok_in is not None and settings.usd_per_mtok_out is not None:
            return Price(settings.usd_per_mtok_in / 1e6, settings.usd_per_mtok_out / 1e6)
        if facts["known"]:
            return Price(facts["usd_in"] or 0.0, facts["usd_out"] or 0.0)
        ceiling = settings.ceiling(endpoint) / 1e6
        return Price(ceiling, ceiling, known=False)

    def takes_schema(self, endpoint: Endpoint, facts: Mapping[str, Any]) -> bool:
        """Whether the schema is sent: what is not known to refuse it gets it, until it does."""
        if self.settings.structured != "auto":
            return self.settings.structured == "on"
        return endpoint.model not in self._schemaless and facts.get("takes_schema", True)

    def without_schema(self, endpoint: Endpoint) -> None:
        """The model refused a request that had one."""
        self._schemaless.add(endpoint.model)


@dataclass
class _Question:
    """One question on its way: what it took so far."""

    client: Client
    messages: list[Message]
    schema: Mapping[str, Any] | None
    seed: int | None
    purse: Purse | None
    purpose: str
    notices: list[str] = field(default_factory=list)
    model: str = ""
    calls: int = 0
    corrections: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    usd: float = 0.0

    def __post_init__(self) -> None:
        self.began = self.counted = time.monotonic()

    def outcome(self, value: Any, kind: Kind = "answered", problem: str = "") -> Outcome[Any]:
        return Outcome(
            value, kind, problem, self.model, self.calls, self.corrections, self.tokens_in, self.tokens_out, self.usd,
            time.monotonic() - self.began, tuple(self.notices),
        )  # fmt: skip

    def put_to(self, endpoint: Endpoint, check: Callable[[str], T]) -> Outcome[Any]:
        """Ask one model, with retries and corrections."""
        settings = self.client.settings
        self.model, failures = endpoint.model, 0
        try:
            facts = self.client.facts(endpoint, self.stopping)
            if self.calls == 0:
                self.counted = time.monotonic()  # loading litellm is no fault of the endpoint
            while True:
                left = settings.total_s - (time.monotonic() - self.counted)
                if left <= 0:
                    return self.outcome(None, "unreachable", f"no usable answer within total_s={settings.total_s:g} s")
                try:
                    answer = self.call(endpoint, facts, min(settings.timeout_s, left))
                except process.Late:
                    late = min(settings.timeout_s, left)
                    return self.outcome(None, "unreachable", f"no complete answer from {endpoint.model} in {late:g} s")
                if "error" not in answer:
                    refused = self.judged(answer, check)
                    if isinstance(refused, Outcome):
                        return refused
                    self.send_back(answer["content"], refused)
                    continue
                failures += 1
                if (over := self.give_up(endpoint, answer, failures)) is not None:
                    return over
        except BudgetSpent as refusal:
            return self.outcome(None, "budget", plain(str(refusal), 300))
        except process.Late as late_start:
            return self.outcome(None, "unreachable", f"litellm could not be loaded: {late_start}")
        except process.Stopping:
            return self.outcome(None, "stopping", "the study is stopping")

    def call(self, endpoint: Endpoint, facts: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """One request: reserve, send, settle. What nobody knows the cost of is settled in full."""
        arguments = self.arguments(endpoint, facts, seconds)
        price = self.client.price(endpoint, facts)
        if not price.known:
            counted = f"counted at ${price.usd_in * 1e6:g} per million tokens (policy.unknown_usd_per_mtok)"
            self.notices += self.client.say_once(f"the price of {endpoint.model} is not known: {counted}")
        size = sum(len(m["content"].encode()) for m in self.messages) + len(str(arguments.get("response_format", "")))
        worst = price.worst(size, len(self.messages), self.client.settings.max_tokens)
        receipt = self.purse.reserve(worst, self.purpose) if self.purse else ""
        cost = worst
        try:
            self.calls += 1
            answer = process.call({"do": "complete", "arguments": arguments}, seconds, self.stopping)
            if "content" in answer:
                answer["content"] = encodable(answer["content"])
            if answer.get("kind") in ("busy", "down", "schema", "refused"):
                cost = 0.0
            elif "content" in answer and answer["tokens_in"] + answer["tokens_out"] > 0:
                cost = price.of(answer)
                self.tokens_in += answer["tokens_in"]
                self.tokens_out += answer["tokens_out"]
        finally:
            self.usd += cost
            if self.purse:
                self.purse.settle(receipt, cost)
        return answer

    def arguments(self, endpoint: Endpoint, facts: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        settings = self.client.settings
        made: dict[str, Any] = {
            "model": endpoint.model,
            "messages": self.messages,
            "max_tokens": settings.max_tokens,
            "timeout": seconds,
        }
        key = endpoint.key or ("none" if endpoint.api_base and not endpoint.api_key_env else None)
        optional = {
            "api_base": endpoint.api_base,
            "api_key": key,
            "temperature": settings.temperature,
            "seed": self.seed,
        }
        made |= {name: value for name, value in optional.items() if value is not None}
        if self.schema is not None and self.client.takes_schema(endpoint, facts):
            named = {"name": "answer", "schema": dict(self.schema), "strict": False}
            made["response_format"] = {"type": "json_schema", "json_schema": named}
        return made

    def judged(self, answer: Mapping[str, Any], check: Callable[[str], T]) -> Outcome[Any] | str:
        """The outcome, if there is one, or why the answer goes back to the model."""
        try:
            if answer["length"] > MAX_ANSWER:
                raise Rejected(f"the answer has {answer['length']:,} characters; at most {MAX_ANSWER:,} are read")
            if not answer["content"].strip():
                raise Rejected("the answer is empty")
            return self.outcome(check(answer["content"]))
        except Rejected as refusal:
            reason = plain(str(refusal), 1500)
        if answer["finish"] == "length":
            reason += f" (it was cut off at max_tokens={self.client.settings.max_tokens})"
        if self.corrections >= self.client.settings.corrections:
            return self.outcome(None, "bad answer", f"refused after {self.corrections} corrections: {reason}")
        return reason

    def send_back(self, content: str, reason: str) -> None:
        """Put the refused answer and the reason at the end of the conversation."""
        self.corrections += 1
        self.messages += [
            {"role": "assistant", "content": content[:_ECHO] or "(empty)"},
            {"role": "user", "content": f"This answer cannot be used: {reason}\nAnswer again, in the form asked for."},
        ]

    def give_up(self, endpoint: Endpoint, answer: Mapping[str, Any], failures: int) -> Outcome[Any] | None:
        """After a call that failed: None when it is to be tried again, having waited."""
        settings, kind = self.client.settings, answer["kind"]
        said = f"{endpoint.model}: {self.redacted(answer['error'])}"
        if kind == "schema" and self.schema is not None and endpoint.model not in self.client._schemaless:
            self.client.without_schema(endpoint)
            return None
        if kind in ("schema", "refused"):
            return self.outcome(None, "refused", said)
        if kind == "timeout" or failures >= settings.tries:
            return self.outcome(None, "unreachable", said)
        pause = min(_LONGEST_BACKOFF_S, _BACKOFF_S * 2 ** (failures - 1)) * random.uniform(0.5, 1.0)
        if answer.get("retry_after") is not None:
            pause = answer["retry_after"] + random.uniform(0.0, _BACKOFF_S)
        if time.monotonic() - self.counted + pause >= settings.total_s:
            return self.outcome(None, "unreachable", f"{said} (the next try would be after total_s)")
        self.wait(pause)
        return None

    def wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self.stopping():
                raise process.Stopping
            time.sleep(min(left, 0.2))

    def stopping(self) -> bool:
        """Whether the study wants its policy back."""
        return bool(getattr(self.purse, "closed", False))

    def redacted(self, text: str) -> str:
        """A provider's error without any key in it."""
        for endpoint in self.client._endpoints:
            if endpoint.key:
                text = text.replace(endpoint.key, "[key]")
        return plain(text, 300)
