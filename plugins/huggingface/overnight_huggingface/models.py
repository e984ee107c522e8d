"""Starting models, tokenizers and checkpoints: where they are, whether they can work, how they are loaded."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core import SetupError
from overnight_huggingface import packaged
from overnight_huggingface.data import need_whole_path
from overnight_huggingface.hub import check_on_hub

_ADAPTER = "adapter_config.json"
# Weights for other libraries than torch, which a hub repository may hold beside those.
_OTHER_FORMATS = ["*.pth", "*.gguf", "*.onnx", "*.onnx_data", "*.h5", "*.msgpack", "*.ot", "*.tflite", "original/*"]
_TEMPLATES = ("chat_template.jinja", "chat_template.json")


@dataclass(frozen=True)
class StartingModel:
    """A hub name or folder (`task.model`), or weights that a package carries (`task.model_preset`).

    revision: branch, tag or commit of a hub model. chat_template: a Jinja file for chat models that
    bring none.
    """

    model: str
    preset: str | None = None
    revision: str | None = None
    chat_template: str | None = None

    def check(self, example: str, *, chat: bool = True) -> None:
        """Without loading anything: is it there? Raises SetupError that names the setting.

        example: a hub name that would do, for the message. chat: it needs a chat template.
        """
        if self.chat_template is not None and not Path(self.chat_template).expanduser().is_file():
            raise SetupError(f"task.chat_template: there is no file {self.chat_template}")
        need_whole_path(self.chat_template or "/", "task.chat_template")
        if self.preset is not None:
            packaged.find(self.preset)
            return
        need_whole_path(self.model, "task.model")
        folder = Path(self.model).expanduser()
        if not folder.exists() and self.model.count("/") == 1 and not self.model.startswith((".", "/", "~")):
            info = check_on_hub("model", self.model, self.revision, "task.model")
            if chat and self.chat_template is None and info is not None and _known_without_template(info):
                raise SetupError(_no_template(self.model))
        elif not folder.is_dir():
            raise SetupError(f"task.model: there is no folder {folder}; give one, or a hub name like {example}")
        elif not (folder / "config.json").is_file():
            raise SetupError(
                f"task.model: {folder} is no transformers model folder: it has no config.json; give one, or a hub "
                f"name like {example}"
            )
        elif chat and self.chat_template is None and not _template_in(folder):
            raise SetupError(_no_template(str(folder)))

    def prepare(self, cache: Path) -> None:
        """Convert or download it, once per machine. Raises SetupError if it cannot be had."""
        if self.preset is not None:
            packaged.convert(self.preset, cache)
        elif not Path(self.model).expanduser().is_dir():
            from huggingface_hub import snapshot_download

            try:
                snapshot_download(self.model, revision=self.revision, ignore_patterns=_OTHER_FORMATS)
            except Exception as error:
                raise SetupError(f"task.model: {self.model} cannot be downloaded: {said(error)}") from error

    def source(self, cache: Path) -> str:
        """What from_pretrained is given: a folder or a hub name."""
        if self.preset is not None:
            return str(packaged.folder(self.preset, cache))
        folder = Path(self.model).expanduser()
        return str(folder) if folder.is_dir() else self.model

    def tokenizer(self, cache: Path, **options: Any) -> Any:
        """The tokenizer. Raises SetupError if it cannot be loaded."""
        from transformers import AutoTokenizer

        source = self.source(cache)
        try:
            return AutoTokenizer.from_pretrained(source, revision=self.revision, **options)
        except Exception as error:
            raise SetupError(f"task.model: the tokenizer of {source} cannot be loaded: {said(error)}") from error

    def chat_tokenizer(self, cache: Path) -> Any:
        """The tokenizer, padding on the left, with a chat template. Raises SetupError without one."""
        tokenizer = self.tokenizer(cache, padding_side="left")
        if self.chat_template is not None:
            tokenizer.chat_template = Path(self.chat_template).expanduser().read_text(encoding="utf-8")
        if tokenizer.chat_template is None:
            raise SetupError(_no_template(self.source(cache)))
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        return tokenizer

    def causal(self, cache: Path, dtype: Any) -> Any:
        """The starting language model. Raises SetupError if it cannot be loaded."""
        from transformers import AutoModelForCausalLM

        source = self.source(cache)
        try:
            return AutoModelForCausalLM.from_pretrained(source, revision=self.revision, dtype=dtype)
        except Exception as error:
            raise SetupError(f"task.model: {source} cannot be loaded: {said(error)}") from error

    def trained_causal(self, checkpoint: Path, cache: Path, dtype: Any) -> Any:
        """A trained language model: a whole one, or an adapter merged into the starting model.

        Raises RuntimeError if the checkpoint holds no whole model.
        """
        if (checkpoint / _ADAPTER).is_file():
            from peft import PeftModel

            return PeftModel.from_pretrained(self.causal(cache, dtype), checkpoint).merge_and_unload()
        from transformers import AutoModelForCausalLM

        try:
            return AutoModelForCausalLM.from_pretrained(checkpoint, dtype=dtype)
        except (OSError, ValueError, RuntimeError) as error:
            raise RuntimeError(f"{checkpoint} holds no whole model: {error}") from error


def rendered(tokenizer: Any, chats: Sequence[list[dict[str, str]]], cure: str) -> list[str]:
    """Chats as the text that the model continues.

    Raises SetupError if the template refuses them; cure: what to set for templates that take no
    system message.
    """
    try:
        return [tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True) for chat in chats]
    except Exception as error:
        raise SetupError(
            f"task.chat_template: the model's chat template refuses the prompt ({error}); some take no system message: "
            f"{cure}"
        ) from error


def _no_template(where: str) -> str:
    return (
        f"task.model: {where} has no chat template; choose its instruct variant, or give one with "
        f"task.chat_template=FILE.jinja"
    )


def _template_in(folder: Path) -> bool:
    """Whether a model's folder brings a chat template, in a file of its own or among the tokenizer's settings."""
    if any((folder / name).is_file() for name in _TEMPLATES) or (folder / "additional_chat_templates").is_dir():
        return True
    try:
        return bool(json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8")).get("chat_template"))
    except (OSError, ValueError, AttributeError):
        return True  # loading the tokenizer says what is wrong with it


def _known_without_template(info: Any) -> bool:
    """Whether the hub has read the tokenizer's settings and found no chat template."""
    settings = (getattr(info, "config", None) or {}).get("tokenizer_config")
    files = {item.rfilename for item in getattr(info, "siblings", None) or []}
    return settings is not None and not settings.get("chat_template") and not files & set(_TEMPLATES)


def said(error: Exception) -> str:
    """The type and the first line of a library's error."""
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return f"{type(error).__name__}: {lines[0][:300]}"
