"""What policies that ask a language model share: calls within the budget, answers that are checked."""

from overnight_llm.answers import UNTRUSTED_RULE, Rejected, json_object, plain, untrusted
from overnight_llm.client import Client, Message
from overnight_llm.outcome import Outcome
from overnight_llm.settings import Endpoint, LlmSettings

__all__ = [
    "UNTRUSTED_RULE",
    "Client",
    "Endpoint",
    "LlmSettings",
    "Message",
    "Outcome",
    "Rejected",
    "json_object",
    "plain",
    "untrusted",
]
