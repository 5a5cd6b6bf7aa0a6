"""What any decoder reads and writes with: norms, the weights of one head of a group, and the bias of the logits."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from walkthrough.architecture import described
from walkthrough.models import check_head

SCORES = {"rotary positions", "another scale of scores", "windows of attention"}  # what is known of how scores are made


class Norm(NamedTuple):
    """What a norm does to a stream: centre, divide by a scale, multiply by a gain, add a bias. Without a norm: nothing."""

    gain: Float[Tensor, " d_model"]
    bias: Float[Tensor, " d_model"]
    centres: bool
    eps: float | None  # None: there is no norm

    def linear(
        self, x: Float[Tensor, "*#batch d_model"], scale: Float[Tensor, "*#batch 1"] | float = 1.0
    ) -> Float[Tensor, "*batch d_model"]:
        """What of the norm's output is linear in the stream if its scale is held: all but the bias."""
        return self.centred(x) / scale * self.gain

    def centred(self, x: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        """The stream less its mean over coordinates, if the norm is a LayerNorm; a RMSNorm leaves it."""
        return x - x.mean(-1, keepdim=True) if self.centres else x

    def scale(self, x: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch 1"]:
        """What the norm divides a stream by, if that is all of the stream."""
        if self.eps is None:
            return torch.ones_like(x[..., :1])
        return (self.centred(x).square().mean(-1, keepdim=True) + self.eps).sqrt()


class GroupedHead(NamedTuple):
    """Weights and biases of one head; heads of a group have the same W_K, b_K, W_V and b_V. No bias is a zero bias."""

    W_Q: Float[Tensor, "d_model d_head"]
    W_K: Float[Tensor, "d_model d_head"]
    W_V: Float[Tensor, "d_model d_head"]
    W_O: Float[Tensor, "d_head d_model"]
    b_Q: Float[Tensor, " d_head"]
    b_K: Float[Tensor, " d_head"]
    b_V: Float[Tensor, " d_head"]


def norm_before(model, layer: int) -> Norm:
    """The norm that a layer's heads read through; the one before W_U, if `layer` is the number of layers."""
    norm = model.ln_final if layer == model.cfg.n_layers else model.blocks[layer].ln1
    ones = model.W_U.new_ones(model.cfg.d_model)
    if not hasattr(norm, "hook_scale"):
        return Norm(ones, 0 * ones, False, None)
    plain = norm.original_component
    gain = ones if norm.weight is None else norm.weight + 1 if norm.uses_weight_offset else norm.weight
    bias = getattr(plain, "bias", None)
    eps = next((x for name in ("eps", "variance_epsilon") if (x := getattr(plain, name, None))), model.cfg.eps)
    return Norm(gain, 0 * ones if bias is None else bias, not norm.uses_rms_norm, float(eps))


def grouped_head(model, layer: int, head: int) -> GroupedHead:
    """One head's weights and biases, its keys and values those of its group; ValueError if there is no such head."""
    check_head(model, layer, head)
    attn = model.blocks[layer].attn
    shared = head * len(attn.W_K) // model.cfg.n_heads
    zero = attn.W_Q.new_zeros(attn.W_Q.shape[-1])
    biases = [(getattr(attn, f"b_{which}", None), of) for which, of in (("Q", head), ("K", shared), ("V", shared))]
    weights = attn.W_Q[head], attn.W_K[shared], attn.W_V[shared], attn.W_O[head]
    return GroupedHead(*weights, *(zero if b is None else b[of] for b, of in biases))


def grouped_weights(model, layer: int, head: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """W_Q, W_K, W_V and W_O of one head, its keys and values those of its group; ValueError if there is no such head."""
    return tuple(grouped_head(model, layer, head)[:4])


def b_U_of(model) -> Float[Tensor, " d_vocab"]:
    """The bias of the logits; zero where there is none."""
    bias = getattr(model, "b_U", None)
    return model.W_U.new_zeros(model.W_U.shape[1]) if bias is None else bias


def check_known(model, *kinds: str) -> None:
    """Raise ValueError if a model has, of these kinds of `Architecture`, something that nothing here accounts for."""
    found = described(model).words(kinds)
    strange = [part for words in found for part in words.split(" and ") if part not in SCORES]
    if strange:
        name = model.cfg.model_name.rpartition("/")[2]
        raise ValueError(f"{name} has {' and '.join(strange)}: no formula of this course takes that apart exactly")
