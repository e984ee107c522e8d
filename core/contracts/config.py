"""The base class of every plugin's `Config`, which turns a YAML node into checked values."""

from pydantic import BaseModel, ConfigDict


class PluginConfig(BaseModel):
    """Settings of one plugin; its node in the composed config is validated against it.

    Unknown keys are errors (with a suggestion), values are immutable once validated. Every
    field needs a default that works on a bare machine, and should say its unit in its
    description or its name (`_s` seconds, `_usd` US dollars, `_mb` mebibytes).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
