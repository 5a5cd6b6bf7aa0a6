"""Changing a run to learn what causes what: each function returns hooks for `run_with_hooks`, and lists of them add."""

from collections.abc import Callable, Sequence

import torch
from einops import einsum
from jaxtyping import Float, Int
from torch import Tensor

from walkthrough.architecture import STREAM, described, leaves_out
from walkthrough.behaviour import LAST_LOGITS
from walkthrough.models import check_head

Head = tuple[int, int]  # (layer, head)
Hooks = list[tuple[str, Callable]]


def ablate(model, heads: Sequence[Head]) -> Hooks:
    """Hooks that delete the listed (layer, head)s: what they would add to the stream becomes zero.

    Raises ValueError for a head that the model does not have. Later patterns change with the stream; add
    `paths.freeze` to hold them (Olsson et al. 2022, "pattern-preserving ablation").
    """
    return [on_head(model, head, "z", torch.zeros_like) for head in heads]


def swap(model, heads: Sequence[Head], others: Int[Tensor, "batch pos"]) -> Hooks:
    """Hooks that give the listed (layer, head)s the output that they have on other tokens.

    Unlike `ablate`, this feeds later layers nothing of an unusual size. Raises ValueError for a head that the model
    does not have; running raises it for a prompt of another shape than `others`.
    """
    for layer, head in heads:
        check_head(model, layer, head)
    wanted = {f"blocks.{layer}.attn.hook_z" for layer, _ in heads}
    with model.hooks(fwd_hooks=[LAST_LOGITS]):
        cache = model.run_with_cache(others, names_filter=lambda name: name in wanted)[1]

    def stored(layer: int, head: int) -> Callable:
        """The z that the head has on the other tokens, once the run is known to be of their shape."""

        def replace(z: Tensor) -> Tensor:
            """The other output, or ValueError."""
            other = cache[f"blocks.{layer}.attn.hook_z"][:, :, head]
            if other.shape != z.shape:
                raise ValueError(f"the other prompts are {list(other.shape[:2])}, this run is {list(z.shape[:2])}")
            return other

        return replace

    return [on_head(model, head, "z", stored(*head)) for head in heads]


@leaves_out(*STREAM, exact="walkthrough.beyond.frozen_hooks:frozen_unread")
def unread(model, tokens: Int[Tensor, "batch pos"], head: Head, which: str) -> Hooks:
    """Hooks that take what (layer, head) wrote out of one input of all later heads: "q", "k" or "v"; the rest stays.

    For the same `tokens` only. The part taken out is z W_O W_Q (or W_K, W_V), by linearity; what the head wrote still
    reaches the logits, and the other two inputs. Raises ValueError for a head that the model does not have, one of
    its last layer, which no head reads, or another letter (Elhage et al. 2021, "Three Kinds of Composition").
    """
    layer, number = head
    check_head(model, layer, number)
    if which not in ("q", "k", "v"):
        raise ValueError(f"{which!r} is not an input of a head: take 'q', 'k' or 'v'")
    if layer == model.cfg.n_layers - 1:
        raise ValueError(f"head {layer}:{number} is in the last layer: no later head reads what it writes")
    name = f"blocks.{layer}.attn.hook_z"
    with model.hooks(fwd_hooks=[LAST_LOGITS]):
        z = model.run_with_cache(tokens, names_filter=name)[1][name][:, :, number]
    written = z @ model.W_O[layer, number]
    W_in = {"q": model.W_Q, "k": model.W_K, "v": model.W_V}[which]

    def subtract(x: Tensor, hook) -> Tensor:
        """The queries, keys or values of the hook's layer, less the part that reads the head."""
        if x.shape[:2] != written.shape[:2]:
            raise ValueError(f"taken out of prompts {list(written.shape[:2])}, but this run is {list(x.shape[:2])}")
        axes = "batch pos d_model, head d_model d_head -> batch pos head d_head"
        return x - einsum(written, W_in[hook.layer()], axes)

    return [(f"blocks.{later}.attn.hook_{which}", subtract) for later in range(layer + 1, model.cfg.n_layers)]


@leaves_out(
    *STREAM, "query_biases", "value_biases", "positions", "scores", exact="walkthrough.beyond.frozen_hooks:frozen_feed"
)
def feed(model, which: str, stream: Float[Tensor, "batch pos d_model"], layer: int = 1) -> Hooks:
    """Hooks that make all queries, keys or values ("q", "k" or "v") of a layer read another stream than the run's.

    `stream` comes without positions: queries and keys get them added, as always. Raises ValueError for a layer that
    the model does not have, and for another letter; running raises it for a prompt of another shape.
    """
    check_head(model, layer)
    if which not in ("q", "k", "v"):
        raise ValueError(f"{which!r} is not an input of a head: take 'q', 'k' or 'v'")
    W_in = {"q": model.W_Q, "k": model.W_K, "v": model.W_V}[which][layer]
    placed = stream if which == "v" else stream + model.W_pos[: stream.shape[1]]
    read = einsum(placed, W_in, "batch pos d_model, head d_model d_head -> batch pos head d_head")

    def replace(x: Tensor, hook) -> Tensor:
        """What the other stream gives."""
        if x.shape != read.shape:
            raise ValueError(f"the stream is of prompts {list(read.shape[:2])}, but this run is {list(x.shape[:2])}")
        return read

    return [(f"blocks.{layer}.attn.hook_{which}", replace)]


@leaves_out("patterns", instead="change the head's z")
def look_back(model, head: Head, by: int) -> Hooks:
    """Hooks that force (layer, head) to put all its attention on the position `by` back, or on `<BOS>` before that.

    Raises ValueError for a head that the model does not have, and for a position ahead.
    """
    if by < 0:
        raise ValueError(f"{by} positions back lies ahead, where no head can look: take 0 or more")

    def fixed(pattern: Tensor) -> Tensor:
        """One 1 in each row."""
        n_pos = pattern.shape[-1]
        keys = (torch.arange(n_pos) - by).clamp(min=0)
        return torch.nn.functional.one_hot(keys, n_pos).to(pattern).expand_as(pattern)

    return [on_head(model, head, "pattern", fixed)]


def on_head(model, head: Head, point: str, change: Callable[[Tensor], Tensor]) -> tuple[str, Callable]:
    """A hook that changes the "z", "q", "k", "v" or "pattern" of one (layer, head) and leaves the others alone.

    Raises ValueError for a head that the model does not have, and for "k" and "v" where heads share them.
    """
    layer, number = head
    check_head(model, layer, number)
    shared = model.cfg.n_heads // (model.cfg.n_key_value_heads or model.cfg.n_heads)
    if point in ("k", "v") and shared > 1:
        first = number // shared * shared
        raise ValueError(
            f"heads {layer}:{first} to {layer}:{first + shared - 1} share one {point}: change it for all of them at "
            f"blocks.{layer}.attn.hook_{point}, [:, :, {number // shared}], or change one head's z or pattern"
        )
    if point == "pattern" and described(model).patterns:
        raise ValueError(f"{model.cfg.model_name} has patterns that no hook can change: change the head's z")
    axis = 1 if point == "pattern" else 2

    def hooked(x: Tensor, hook) -> Tensor:
        """The same for all heads, but for one slice."""
        x = x.clone()
        x.select(axis, number).copy_(change(x.select(axis, number)))
        return x

    return (f"blocks.{layer}.attn.hook_{point}", hooked)
