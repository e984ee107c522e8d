"""The settings of a language model, as policies take them into their own `Config`."""

import os

from pydantic import Field, model_validator

from core import PluginConfig, SetupError
from overnight_llm.prices import UNKNOWN_USD_PER_MTOK


class Endpoint(PluginConfig):
    """One model at one place.

    model: litellm's name, "provider/model" (docs.litellm.ai/docs/providers). api_base: URL of a
    server of your own that speaks the provider's protocol. api_key_env: the name of the
    environment variable that holds the key; litellm's own (OPENAI_API_KEY, …) if null.
    """

    model: str
    api_base: str | None = None
    api_key_env: str | None = None

    @property
    def key(self) -> str | None:
        """The key's value, read anew each time; never stored, shown or logged."""
        return os.environ.get(self.api_key_env) if self.api_key_env else None


class LlmSettings(PluginConfig):
    """Which model is asked, and what one question may take.

    model, api_base, api_key_env: see Endpoint. fallback_models: asked in this order when the
    model cannot be reached: names (same api_base and key) or {model, api_base, api_key_env}.
    temperature: null leaves it to the provider. max_tokens: of one answer, its reasoning included.
    timeout_s: seconds for one call. total_s: seconds for a question with all retries, corrections
    and fallback models. tries: calls of one model while it answers 429 or 5xx or is unreachable.
    corrections: how often a bad answer is sent back with the reason. structured: whether the JSON
    schema is sent ("auto": unless the model is known not to take one, or refuses it).
    usd_per_mtok_in, usd_per_mtok_out: US dollars per million tokens, instead of litellm's table.
    unknown_usd_per_mtok: what a model without a known price is counted at; null is
    100 dollars, or nothing where api_base is a server of your own. rest: after a question that nobody
    answered, the model is left alone for so many times the seconds that were lost.
    """

    model: str | None = None
    api_base: str | None = None
    api_key_env: str | None = None
    fallback_models: tuple[str | Endpoint, ...] = ()
    temperature: float | None = Field(default=0.8, ge=0, le=2)
    max_tokens: int = Field(default=4096, ge=1)
    timeout_s: float = Field(default=60.0, gt=0)
    total_s: float = Field(default=120.0, gt=0)
    tries: int = Field(default=4, ge=1)
    corrections: int = Field(default=2, ge=0, le=2)
    structured: str = Field(default="auto", pattern="^(auto|on|off)$")
    usd_per_mtok_in: float | None = Field(default=None, ge=0)
    usd_per_mtok_out: float | None = Field(default=None, ge=0)
    unknown_usd_per_mtok: float | None = Field(default=None, ge=0)
    rest: float = Field(default=10.0, ge=0)

    @model_validator(mode="after")
    def _both_prices(self) -> "LlmSettings":
        if (self.usd_per_mtok_in is None) != (self.usd_per_mtok_out is None):
            raise ValueError("usd_per_mtok_in and usd_per_mtok_out: give both or neither")
        return self

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The models in the order in which they are asked. Raises SetupError when none is named
        or a variable that should hold a key is not set."""
        if not self.model:
            raise SetupError(
                "policy.model: says which language model to ask, as litellm names it, e.g. openai/gpt-4o-mini, "
                "anthropic/claude-sonnet-4-5, or openai/NAME with policy.api_base=http://localhost:8000/v1"
            )
        first = Endpoint(model=self.model, api_base=self.api_base, api_key_env=self.api_key_env)
        found = [first]
        for other in self.fallback_models:
            found.append(other if isinstance(other, Endpoint) else first.model_copy(update={"model": other}))
        for endpoint in found:
            if endpoint.api_key_env and not os.environ.get(endpoint.api_key_env):
                raise SetupError(
                    f"policy.api_key_env: the environment variable {endpoint.api_key_env} is not set; it has to hold "
                    f"the key for {endpoint.model}"
                )
        return tuple(found)

    def ceiling(self, endpoint: Endpoint) -> float:
        """US dollars per million tokens of a model whose price is not known."""
        if self.unknown_usd_per_mtok is not None:
            return self.unknown_usd_per_mtok
        return 0.0 if endpoint.api_base else UNKNOWN_USD_PER_MTOK
