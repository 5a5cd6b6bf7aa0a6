"""Path patching in any decoder: what one head wrote is taken out of later queries, keys or values, through their norms."""

from einops import einsum
from jaxtyping import Float, Int
from torch import Tensor

from walkthrough.beyond.frozen_weights import check_known, norm_before
from walkthrough.interventions import Head, Hooks
from walkthrough.models import check_head


def check_input(which: str) -> None:
    """Raise ValueError unless heads have an input of this letter."""
    if which not in ("q", "k", "v"):
        raise ValueError(f"{which!r} is not an input of a head: take 'q', 'k' or 'v'")


def frozen_unread(
    model, tokens: Int[Tensor, "batch pos"], head: Head, which: str, frozen: bool = True
) -> Hooks:  # fmt: skip
    """`interventions.unread` of any decoder: what a head wrote is taken out of one input of all later heads.

    Norms divide by the scale that they have with all of the stream (`frozen`): the part taken out is linear in what the
    head wrote. Or they divide by the scale that is left without it: then the input is what it would be if the head had
    never written, which is not linear. For the same `tokens` only. Raises ValueError as `unread` does (Elhage et al. 2021,
    "Three Kinds of Composition"; frozen LayerNorm as in Elhage et al. 2022 is the usual choice).
    """
    layer, number = head
    check_head(model, layer, number)
    check_input(which)
    check_known(model, "writes", "between")
    if layer == model.cfg.n_layers - 1:
        raise ValueError(f"head {layer}:{number} is in the last layer: no later head reads what it writes")
    name = f"blocks.{layer}.attn.hook_z"
    z = model.run_with_cache(tokens, names_filter=name)[1][name][:, :, number]
    written = z @ model.blocks[layer].attn.W_O[number]
    return [
        hook
        for later in range(layer + 1, model.cfg.n_layers)
        for hook in less_one_head(model, later, which, written, frozen)
    ]


def less_one_head(
    model, layer: int, which: str, written: Float[Tensor, "batch pos d_model"], frozen: bool
) -> Hooks:  # fmt: skip
    """Hooks that take a part of the stream out of a layer's queries, keys or values, with the stream of the run they are in."""
    norm, W_in = norm_before(model, layer), getattr(model.blocks[layer].attn, f"W_{which.upper()}")
    streams = []

    def keep(stream: Tensor, hook) -> None:
        """The stream that the layer reads in this run."""
        streams[:] = [stream]

    def subtract(x: Tensor, hook) -> Tensor:
        """The layer's queries, keys or values, less what they are made of the part."""
        if x.shape[:2] != written.shape[:2]:
            raise ValueError(f"taken out of prompts {list(written.shape[:2])}, but this run is {list(x.shape[:2])}")
        (stream,) = streams
        scale = norm.scale(stream)
        if frozen:
            read = norm.linear(written, scale)
        else:
            rest = stream - written
            read = norm.linear(stream, scale) - norm.linear(rest, norm.scale(rest))
        return x - einsum(read, W_in, "batch pos d_model, head d_model d_head -> batch pos head d_head")

    return [(f"blocks.{layer}.hook_resid_pre", keep), (f"blocks.{layer}.attn.hook_{which}", subtract)]


def frozen_feed(
    model, which: str, stream: Float[Tensor, "batch pos d_model"], layer: int = 1
) -> Hooks:  # fmt: skip
    """`interventions.feed` of any decoder: all queries, keys or values of a layer read another stream, through its norm.

    The norm divides by the scale of that stream, which comes with positions where the model has them in the stream.
    Raises ValueError for a layer that there is not, and for another letter; running raises it for other shapes.
    """
    check_head(model, layer)
    check_input(which)
    norm, attn = norm_before(model, layer), model.blocks[layer].attn
    W_in, b = getattr(attn, f"W_{which.upper()}"), getattr(attn, f"b_{which.upper()}", None)
    placed = norm.linear(stream, norm.scale(stream)) + norm.bias
    if which != "v" and norm.eps is None and model.cfg.positional_embedding_type == "standard":
        placed = placed + model.W_pos[: stream.shape[1]]  # the paper's positions are beside the stream
    read = einsum(placed, W_in, "batch pos d_model, head d_model d_head -> batch pos head d_head")
    read = read if b is None else read + b

    def replace(x: Tensor, hook) -> Tensor:
        """What the other stream gives."""
        if x.shape != read.shape:
            raise ValueError(f"the stream is of prompts {list(read.shape[:2])}, but this run is {list(x.shape[:2])}")
        return read

    return [(f"blocks.{layer}.attn.hook_{which}", replace)]
