"""A llama-shaped model out of a GGUF file: its configuration, and its weights in float32 under transformers' names.

GGUF is the file format of llama.cpp: named fields, and tensors of which most are stored in four bits a number with a
scale for each 32. The package gguf reads fields and tensors, multiplies out the scales, and knows which tensor is which.
"""

import re
from pathlib import Path

import gguf
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm
from transformers import LlamaConfig, LlamaForCausalLM

UNDERSTOOD = {
    "block_count", "context_length", "embedding_length", "feed_forward_length", "attention.head_count",
    "attention.head_count_kv", "attention.key_length", "attention.value_length", "attention.layer_norm_rms_epsilon",
    "rope.freq_base", "rope.dimension_count", "vocab_size",
}  # fmt: skip


def opened(file: Path) -> gguf.GGUFReader:
    """The file, its fields read; ValueError if it is no whole GGUF file."""
    try:
        return gguf.GGUFReader(file)
    except (ValueError, IndexError, KeyError, OSError) as error:
        raise ValueError(f"{file.name} is no whole GGUF file ({error}): install the package again") from error


def fields(reader: gguf.GGUFReader) -> dict:
    """What the file says of itself, by name: numbers, texts, lists of them."""
    return {name: field.contents() for name, field in reader.fields.items()}


def llama_config(said: dict) -> LlamaConfig:
    """The configuration for transformers; ValueError for what is not a plain llama: nothing is left out in silence."""
    kind = said.get("general.architecture")
    if kind != "llama":
        raise ValueError(f"this GGUF file holds a model of the architecture {kind!r}: only 'llama' is understood")
    own = {name.removeprefix("llama."): value for name, value in said.items() if name.startswith("llama.")}
    if strange := sorted(own.keys() - UNDERSTOOD):
        raise ValueError(f"this GGUF file asks for what is not understood here: {', '.join(strange)}")
    heads, width = own["attention.head_count"], own["embedding_length"]
    d_head = own.get("attention.key_length", width // heads)
    if own.get("rope.dimension_count", d_head) != d_head or own.get("attention.value_length", d_head) != d_head:
        raise ValueError("this GGUF file turns a part of each key only, or has values of another size: not understood")
    tokens = {f"{name}_token_id": said.get(f"tokenizer.ggml.{stored}_token_id")
              for name, stored in (("bos", "bos"), ("eos", "eos"), ("pad", "padding"))}  # fmt: skip
    return LlamaConfig(
        vocab_size=len(said["tokenizer.ggml.tokens"]), hidden_size=width, head_dim=d_head,
        intermediate_size=own["feed_forward_length"], num_hidden_layers=own["block_count"], num_attention_heads=heads,
        num_key_value_heads=own.get("attention.head_count_kv", heads), max_position_embeddings=own["context_length"],
        rms_norm_eps=own["attention.layer_norm_rms_epsilon"],
        rope_parameters={"rope_type": "default", "rope_theta": own.get("rope.freq_base", 10_000.0)},
        architectures=["LlamaForCausalLM"], dtype="float32", **tokens,
    )  # fmt: skip


def halves_together(W: Float[Tensor, "out in"], n_heads: int) -> Float[Tensor, "out in"]:
    """The rows of W_Q or W_K in transformers' order.

    A rotation turns pairs of rows of a head. llama.cpp stores the two of a pair side by side; transformers has all
    first ones before all second ones.
    """
    return W.unflatten(0, (n_heads, -1, 2)).transpose(1, 2).flatten(0, 2)


def weights(reader: gguf.GGUFReader, config: LlamaConfig, name: str) -> dict[str, Tensor]:
    """Each weight in float32 under its name in transformers; a progress bar counts tensors.

    `config.tie_word_embeddings` is set by whether the file holds an unembedding of its own.
    Raises ValueError for tensors that are missing, of another shape, or left over.
    """
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    config.tie_word_embeddings = "output.weight" not in tensors
    with torch.device("meta"):
        shapes = {key: weight.shape for key, weight in LlamaForCausalLM(config).state_dict().items()}
    if config.tie_word_embeddings:
        del shapes["lm_head.weight"]
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    stored = {names.get_name(key, try_suffixes=(".weight",)): key for key in shapes}
    if unpaired := sorted(stored.keys() ^ tensors.keys()):
        raise ValueError(f"tensors of this GGUF file are missing or not understood: {', '.join(unpaired[:4])}")
    heads = {"q": config.num_attention_heads, "k": config.num_key_value_heads}
    result = {}
    for key, tensor in tqdm(tensors.items(), desc=f"unpacking {name}, once", unit="tensor", leave=False):
        W = torch.tensor(gguf.dequantize(tensor.data, tensor.tensor_type), dtype=torch.float32)
        if W.shape != shapes[stored[key]]:
            raise ValueError(f"{key} of this GGUF file has the shape {tuple(W.shape)}: install the package again")
        side = re.search(r"self_attn\.([qk])_proj", stored[key])
        result[stored[key]] = (halves_together(W, heads[side[1]]) if side else W).contiguous()
    return result
