"""A chat model of a few thousand weights, made on the spot, for tests of tasks: characters in, characters out."""

import string
from pathlib import Path
from typing import Any

TEMPLATE = (
    "{% for message in messages %}[{{ message['role'][0] }}]{{ message['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}[a]{% endif %}"
)


def make(folder: Path, template: str | None = TEMPLATE) -> Path:
    """Save model and tokenizer in a folder, as from_pretrained wants them."""
    import torch
    from tokenizers import Regex, Tokenizer, decoders
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Split
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    characters = ["<pad>", "<eos>", "<unk>", *string.printable]
    splitter: Any = Tokenizer(WordLevel({token: i for i, token in enumerate(characters)}, unk_token="<unk>"))
    splitter.pre_tokenizer = Split(Regex(r"[\s\S]"), "isolated")
    splitter.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=splitter, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>", chat_template=template
    )
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=len(characters), pad_token_id=0, eos_token_id=1, bos_token_id=None, **shape)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
