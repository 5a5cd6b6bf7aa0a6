"""The course's models, as TransformerLens' bridges; with `walkthrough.networks` the only file that knows TransformerLens.

Attention only, no biases, no LayerNorm, untied embeddings, and sinusoidal positions that are added to the inputs
of W_Q and W_K and never to the residual stream (Elhage et al. 2021, "Technical Details"). The formulas of the
paper therefore hold for these models to float precision, with nothing folded in and nothing left over. Only the
models of BEYOND are of other kinds.
"""

import hashlib
import importlib
import json
import re
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors.torch import load as load_safetensors
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformer_lens import TransformerBridge
from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_from_module
from transformer_lens.model_bridge.sources.native import NativeModel
from transformers import PreTrainedTokenizerFast

from walkthrough.networks import (
    BOS,
    PaperModel,
    PositionsInQK,
    WithLayerNorm,
    WithMLP,
    check_length,
    config,
    network,
    obeys_patterns,
    sinusoids,
)

__all__ = [
    "BEYOND", "BOS", "HOMEWORK", "HUB", "NAMES", "RELEASED", "SMALL", "WEIGHTS", "CourseBridge", "PaperModel", "PositionsInQK",
    "WithLayerNorm", "WithMLP", "bridge", "check_head", "check_length", "config", "head_weights", "load",
    "load_tokenizer", "network", "norms", "read_card", "sinusoids", "tiny", "untrained",
]  # fmt: skip

WEIGHTS = Path(__file__).parent / "weights"
NAMES = ("zero-layer", "one-layer", "two-layer")
SMALL = ("small-seed-1", "small-seed-2")  # two layers, d_model 128, 4 heads: the same but for the seed
BEYOND = ("one-layer-mlp", "layernorm")  # what the paper leaves out: an MLP; two layers with LayerNorm, very small
HOMEWORK = ("homework",)  # of the small ones' shape, for homework 5: what its heads do is told nowhere here
RELEASED = ("smollm2",)  # from a pip package, or a folder, or (HUB) from where everybody has models
HUB = ("gpt2", *(f"NeelNanda/Attn_Only_{n_layers}L512W_C4_Code" for n_layers in (1, 2, 3, 4)))


class CourseBridge(TransformerBridge):
    """A TransformerBridge that refuses what cannot be right with one sentence, where the library would cut or crash."""

    def to(self, *args, **kwargs):
        """As in torch, but the course's models stay on the CPU, where all that is computed with them is.

        Raises ValueError for any other device.
        """
        device = torch._C._nn._parse_to(*args, **kwargs)[0]
        if device is not None and device.type != "cpu":
            raise ValueError(
                f"models stay on the CPU here, where all that is computed with them is, not on {device}: to train on a GPU, "
                "run `python -m walkthrough.training`"
            )
        return super().to(*args, **kwargs)

    def cuda(self, device=None):
        """Refused, as `to` another device is."""
        return self.to("cuda" if device is None else device)

    def forward(self, input, return_type="logits", *args, **kwargs):
        """As in TransformerLens, but prompts of different lengths give what each gives alone: padding counts nowhere.

        `<BOS>` stands in for padding, so ids alone do not tell it from text. Raises ValueError for ids that `to_tokens`
        padded on the left, and for the loss of ids that it padded at all.
        """
        if isinstance(input, list) and self.differ(input):
            on = kwargs.pop("padding_side", None) or self.tokenizer.padding_side
            rows = [self.to_tokens(text, kwargs.get("prepend_bos"))[0] for text in input]
            pad = lambda parts: pad_sequence(parts, batch_first=True, padding_side=on)
            input, kwargs["attention_mask"] = pad(rows), pad([torch.ones_like(row) for row in rows])
        side = getattr(input, "padded", "")
        unknown = side == "left" or (side and return_type in ("loss", "both"))
        if unknown and kwargs.get("attention_mask") is None:
            raise ValueError(
                f"these prompts were padded on the {side}, and their ids do not tell padding from text: give the texts"
            )
        return super().forward(input, return_type, *args, **kwargs)

    def differ(self, texts: list[str]) -> bool:
        """Whether the texts have different numbers of tokens."""
        return len({self.to_tokens(text).shape[1] for text in texts}) > 1

    def to_tokens(self, input, prepend_bos=None, padding_side=None, move_to_device=True, truncate=False):
        """As in TransformerLens, but a prompt that does not fit the context is refused rather than cut short."""
        tokens = super().to_tokens(input, prepend_bos, padding_side, move_to_device, truncate)
        check_length(tokens.shape[-1], self.cfg.n_ctx)
        if isinstance(input, list) and self.differ(input):
            tokens.padded = padding_side or self.tokenizer.padding_side  # `forward` has to know
        return tokens

    def to_single_token(self, string: str) -> int:
        """The id of a token; ValueError if the text is not exactly one."""
        tokens = self.to_tokens(string, prepend_bos=False)[0]
        if len(tokens) != 1:
            pieces = " + ".join(repr(self.to_string(token)) for token in tokens[:8])
            raise ValueError(
                f"{string!r} is not one token of this model but {len(tokens)}: {pieces or 'the empty text'}"
            )
        return tokens.item()

    def run_with_hooks(self, *args, fwd_hooks=(), bwd_hooks=(), **kwargs):
        """As in TransformerLens, after a check that each named hook exists."""
        for name, _ in [*fwd_hooks, *bwd_hooks]:
            if isinstance(name, str) and name not in self.hook_dict:
                layer = re.match(r"blocks\.(\d+)\.", name)
                if layer:
                    check_head(self, int(layer[1]))
                raise ValueError(f"there is no hook called {name!r}: model.hook_dict lists those that there are")
            if str(name).endswith("hook_pattern") and not all(obeys_patterns(block.attn) for block in self.blocks):
                raise ValueError(f"{self.cfg.model_name} computes its patterns where no hook can change them: change z")
        return super().run_with_hooks(*args, fwd_hooks=list(fwd_hooks), bwd_hooks=list(bwd_hooks), **kwargs)


def check_head(model: TransformerBridge, layer: int, head: int = 0) -> None:
    """Raise ValueError for a layer or a head that the model does not have."""
    n_layers, n_heads = model.cfg.n_layers, model.cfg.n_heads
    if n_layers == 0:
        raise ValueError(f"{model.cfg.model_name} has no layers, and so no heads: load a model that has some")
    if not 0 <= layer < n_layers:
        raise ValueError(f"there is no layer {layer}: {model.cfg.model_name} has layers 0 to {n_layers - 1}")
    if not 0 <= head < n_heads:
        raise ValueError(f"there is no head {head}: each layer of {model.cfg.model_name} has heads 0 to {n_heads - 1}")


def head_weights(
    model: TransformerBridge, layer: int, head: int
) -> tuple[
    Float[Tensor, "d_model d_head"], Float[Tensor, "d_model d_head"],
    Float[Tensor, "d_model d_head"], Float[Tensor, "d_head d_model"],
]:  # fmt: skip
    """W_Q, W_K, W_V and W_O of one head, also where heads share keys and values; ValueError if there is no such head.

    As they are stored: the gain of a norm before the layer is not in them.
    """
    check_head(model, layer, head)
    shared = head * model.W_K.shape[1] // model.cfg.n_heads  # which key and value head is this head's
    return model.W_Q[layer, head], model.W_K[layer, shared], model.W_V[layer, shared], model.W_O[layer, head]


def norms(model: TransformerBridge) -> list[tuple[Float[Tensor, " d_model"], Float[Tensor, " d_model"]]]:
    """Gain and bias of the LayerNorm before each layer, and then of the one before W_U; ValueError without LayerNorm."""
    if model.cfg.normalization_type == "RMS":
        raise ValueError(f"{model.cfg.model_name} has RMSNorm, which has gains alone: `model.blocks[0].ln1.weight`")
    if model.cfg.normalization_type is None:
        raise ValueError(f"{model.cfg.model_name} has no LayerNorm: load one that has, such as 'layernorm'")
    return [(norm.weight, norm.bias) for norm in (*(block.ln1 for block in model.blocks), model.ln_final)]


def bridge(
    model: NativeModel, tokenizer: PreTrainedTokenizerFast | None = None, name: str = "paper"
) -> TransformerBridge:
    """Wrap the network as TransformerLens wraps its own: hooks, caches, `W_*`, `QK`, `OV`; gradients are off."""
    wrapped = build_bridge_from_module(
        model.eval().requires_grad_(False), architecture="TransformerLensNative", tl_config=model.cfg,
        tokenizer=tokenizer, model_name=name,
    )  # fmt: skip
    wrapped.__class__ = CourseBridge  # the builder makes a TransformerBridge and takes no other class
    return wrapped


def tiny(n_layers: int, seed: int = 0) -> TransformerBridge:
    """A random model for tests: d_model 32, 4 heads of 8, context 32, 64 tokens; any number of layers, zero too."""
    return bridge(PaperModel(config(n_layers, d_model=32, n_heads=4, n_ctx=32, d_vocab=64), seed), name="tiny")


def untrained(n_layers: int, seed: int = 0) -> TransformerBridge:
    """A model of the shipped ones' shape with random weights, as they are before training: a baseline."""
    return bridge(PaperModel(config(n_layers), seed), name="untrained")


def load_tokenizer(folder: Path = WEIGHTS) -> PreTrainedTokenizerFast:
    """The course's tokenizer: byte-level BPE, with `<BOS>` put first and standing in for every other special token."""
    # Read here: a path that the locale cannot spell, the library cannot open.
    stored = Tokenizer.from_str((folder / "tokenizer.json").read_text(encoding="utf-8"))
    return PreTrainedTokenizerFast(
        tokenizer_object=stored, bos_token=BOS, eos_token=BOS, pad_token=BOS,
        add_bos_token=True, name_or_path="",  # TransformerLens looks for both
    )  # fmt: skip


def read_card(name: str, folder: Path = WEIGHTS) -> dict:
    """The model card: recipe, corpus, steps, losses, measured head scores and the SHA-256 of the weights.

    Raises ValueError for a name that no model in the folder has.
    """
    names = sorted(card.stem for card in folder.glob("*.json") if card.stem != "tokenizer")
    if name not in names:
        also = f", {', '.join(map(repr, RELEASED))} or the path of a folder" if folder == WEIGHTS else ""
        raise ValueError(f"there is no model called {name!r}: the models are {', '.join(map(repr, names))}{also}")
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


def is_released(name: str | Path) -> bool:
    """Whether `load` has to look beyond the course's own models: for a released one, or for a path."""
    return not isinstance(name, str) or name in (*RELEASED, *HUB) or "/" in name or "\\" in name or Path(name).is_dir()


def load(name: str | Path, folder: Path = WEIGHTS) -> TransformerBridge:
    """A trained model: "zero-layer", "one-layer", "two-layer", one of two small ones, "small-seed-1" and
    "small-seed-2", one of two that go beyond attention, "one-layer-mlp" and "layernorm", or the small one that
    homework 5 asks about, "homework". Also released ones (`walkthrough.beyond.released`): "smollm2", from a pip
    package; the path of a folder that transformers can read; and, online, "gpt2" and the others of `HUB`.

    The weights are safetensors, checked against the SHA-256 in the model card before they are read.
    Raises ValueError for an unknown name, and for a weight file that is damaged, swapped or missing.
    """
    if is_released(name) and not (isinstance(name, str) and (folder / f"{name}.json").exists()):
        # By name, since it stands above this file; most who load a model never need it.
        return importlib.import_module("walkthrough.beyond.released").load_released(name)
    card = read_card(name, folder)
    file = folder / f"{name}.safetensors"
    if not file.exists():
        raise ValueError(f"the weights {file.name} are missing from {folder}: install the course again")
    stored = file.read_bytes()
    if hashlib.sha256(stored).hexdigest() != card["sha256"]:
        raise ValueError(
            f"the weights {file.name} are not the file that the model card {name}.json describes (their SHA-256 "
            "differs): the file is damaged or was swapped, so it was not loaded; install the course again"
        )
    model = network(config(**card["config"]))
    model.load_state_dict({key: t.float() for key, t in load_safetensors(stored).items()}, strict=False)
    return bridge(model, load_tokenizer(folder), name)
