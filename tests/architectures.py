"""Random small models of each architecture, of transformers' own classes, saved to disk and loaded from there.

Weights are drawn so that whatever a formula leaves out is seen: gains far from 1, biases far from 0, wide attention.
Token 0 is an ordinary one and `<BOS>` is token 3, so that to take token 0 for it is seen too.
"""

import functools
import re
import tempfile
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformer_lens import TransformerBridge
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

BOS_ID, VOCABULARY, N_CTX = 3, 80, 128
COMMON = {
    "bos_token_id": BOS_ID, "eos_token_id": BOS_ID, "pad_token_id": BOS_ID, "tie_word_embeddings": False,
    "vocab_size": VOCABULARY, "initializer_range": 0.2,
}  # fmt: skip
LLAMA = {
    "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 48, "max_position_embeddings": N_CTX,
}  # fmt: skip
CONFIGURATIONS = {  # the class that transformers has for it, and the settings that make it small
    "gpt2": ("GPT2Config", {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": N_CTX, "n_inner": 48,
                            "attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0}),
    "llama": ("LlamaConfig", LLAMA),
    "pythia": ("GPTNeoXConfig", {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4,
                                 "intermediate_size": 48, "max_position_embeddings": N_CTX,
                                 "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0,
                                                     "partial_rotary_factor": 0.5}}),
    "qwen2": ("Qwen2Config", LLAMA),
    "opt": ("OPTConfig", {"hidden_size": 32, "word_embed_proj_dim": 32, "num_hidden_layers": 3,
                          "num_attention_heads": 4, "ffn_dim": 48, "max_position_embeddings": N_CTX, "dropout": 0.0}),
    "gemma2": ("Gemma2Config", LLAMA | {"head_dim": 8, "query_pre_attn_scalar": 16, "sliding_window": 6,
                                        "attn_logit_softcapping": 5.0, "final_logit_softcapping": 8.0}),
    "qwen3": ("Qwen3Config", LLAMA | {"head_dim": 8}),
    "bloom": ("BloomConfig", {"hidden_size": 32, "n_layer": 3, "n_head": 4, "hidden_dropout": 0.0,
                              "attention_dropout": 0.0}),
}  # fmt: skip
RELEASED = tuple(CONFIGURATIONS)


def tokenizer(bos: int = BOS_ID) -> PreTrainedTokenizerFast:
    """Words `w0` to `w79`, split at blanks; `<BOS>` stands in the place of one, and begins every text."""
    words = {f"w{i}": i for i in range(VOCABULARY) if i != bos} | {"<BOS>": bos}
    stored = Tokenizer(models.WordLevel(words, unk_token="w79"))
    stored.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    stored.post_processor = processors.TemplateProcessing(
        single="<BOS> $A", pair="<BOS> $A <BOS> $B", special_tokens=[("<BOS>", bos)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=stored,
        add_bos_token=True,
        bos_token="<BOS>",
        eos_token="<BOS>",
        pad_token="<BOS>",
        unk_token="w79",
        name_or_path="",  # read from the folder, it would become the class that Qwen's models have
    )


def randomise(model: torch.nn.Module, seed: int, scale: float = 1.5) -> None:
    """Weights of ordinary size for their shape, gains about 1 and biases about 0, both spread far."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=generator)
            if weight.ndim == 1:
                gain = "norm" in name.lower() or re.search(r"ln_?\w*\.weight", name)
                weight.copy_(1 + 0.4 * noise if gain and not name.endswith("bias") else 0.5 * noise)
            else:
                embedding = re.search(r"emb|wte|wpe|pos\.", name)
                weight.copy_(noise if embedding else noise * scale * weight.shape[-1] ** -0.5)


@functools.cache
def folder_of(name: str, n_layers: int = 3) -> Path:
    """Where a model of an architecture lies: config.json, safetensors and a tokenizer, as a released one would."""
    kind, settings = CONFIGURATIONS[name]
    folder = Path(tempfile.mkdtemp(prefix=f"walkthrough-{name}-"))
    depth = {key: n_layers for key in ("n_layer", "num_hidden_layers") if key in settings}
    model = AutoModelForCausalLM.from_config(getattr(transformers, kind)(**COMMON | settings | depth))
    randomise(model, 0)
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def plain(name: str, attention: str = "eager", n_layers: int = 3):
    """The same model as transformers itself runs it, untouched by TransformerLens: another road to its logits."""
    return AutoModelForCausalLM.from_pretrained(folder_of(name, n_layers), attn_implementation=attention).eval()


@functools.cache
def released(name: str, n_layers: int = 3) -> TransformerBridge:
    """A TransformerBridge booted from the folder; nothing folded, gradients off."""
    folder = folder_of(name, n_layers)
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    bridge = TransformerBridge.boot_transformers(str(folder), hf_model=model, tokenizer=tokenizer(), device="cpu")
    return bridge.eval().requires_grad_(False)


def course_network(name: str, n_layers: int = 2) -> torch.nn.Module:
    """The network of one of the course's own kinds, tiny and random: "paper", "mlp" or "layernorm"."""
    from walkthrough import models

    shape = {"d_model": 32, "n_heads": 4, "n_ctx": N_CTX, "d_vocab": VOCABULARY}
    more = {"paper": {}, "mlp": {"d_mlp": 48}, "layernorm": {"layernorm": True}}[name]
    network = models.network(models.config(n_layers, **shape, **more))
    positions = network.pos.weight.clone()
    randomise(network, 0, scale=1.5 if name == "layernorm" else 0.8)
    if name != "layernorm":  # its positions are sinusoids, its heads have no biases, its MLPs have
        network.pos.weight.copy_(positions)
        for block in network.layers:
            for linear in (block.attn.q, block.attn.k, block.attn.v, block.attn.o):
                torch.nn.init.zeros_(linear.bias)
    return network


@functools.cache
def course(name: str, n_layers: int = 2) -> TransformerBridge:
    """The same as a bridge."""
    from walkthrough import models

    return models.bridge(course_network(name, n_layers), tokenizer(0), name)


COURSE = ("paper", "mlp", "layernorm")


def model_of(name: str, n_layers: int | None = None) -> TransformerBridge:
    """Any of them by its name; of 2 layers if it is the course's, else of 3."""
    depth = (n_layers,) if n_layers else ()
    return course(name, *depth) if name in COURSE else released(name, *depth)
