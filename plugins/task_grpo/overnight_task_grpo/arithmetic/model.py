"""The starting model: a tiny Llama with one token per character, as plain transformers objects."""

from typing import Any

from overnight_task_grpo.arithmetic.config import BaseModelConfig

_SPECIAL = ["<pad>", "<bos>", "<eos>", "<unk>"]
_CHARACTERS = "0123456789+=;"


def make_tokenizer() -> Any:
    """A transformers tokenizer that splits text into characters; pads on the left."""
    from tokenizers import Regex, Tokenizer, decoders
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Split
    from transformers import PreTrainedTokenizerFast

    vocabulary = {token: number for number, token in enumerate([*_SPECIAL, *_CHARACTERS])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Split(Regex("."), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
        padding_side="left",
    )


def make_model(config: BaseModelConfig, tokenizer: Any) -> Any:
    """A LlamaForCausalLM with random weights (seed the generator first)."""
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            max_position_embeddings=64,
            tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )
