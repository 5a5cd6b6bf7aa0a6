"""What a head of any decoder reads of each part of the stream, rotation and norm's scale as in the run: exact terms."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from walkthrough.beyond.frozen import NUMBERS, check_sum, named_parts, needed, scale_in, stream_before
from walkthrough.beyond.frozen_weights import check_known, grouped_head, norm_before
from walkthrough.interventions import Head
from walkthrough.models import check_head
from walkthrough.two_layers.composition import check_pair
from walkthrough.two_layers.induction import logit_effect


def rotated(
    x: Float[Tensor, "*batch pos d_head"], cos: Float[Tensor, "*one pos turned"], sin: Float[Tensor, "*one pos turned"]
) -> Float[Tensor, "*batch pos d_head"]:  # fmt: skip
    """Queries or keys turned by their positions: coordinate i and the one half of `turned` further on are a plane.

    Coordinates past `turned` stay as they are (Su et al. 2021, "RoFormer").
    """
    turning, rest = x[..., : cos.shape[-1]], x[..., cos.shape[-1] :]
    first, second = turning.chunk(2, -1)
    quarter_turn = torch.cat([-second, first], -1)
    return torch.cat([turning * cos + quarter_turn * sin, rest], -1)


def part_read(
    model, run, layer: int, head: int, which: str, part: Float[Tensor, "*batch pos d_model"]
) -> Float[Tensor, "*batch pos d_head"]:  # fmt: skip
    """What a part of the stream that a layer reads makes of a head's queries, keys or values ("q", "k" or "v").

    Through the layer's norm, with the scale of the run, and before rotation. Parts of the stream make the whole, but for
    the constant of `read_constant`. Raises ValueError for a head that there is not, and for another letter.
    """
    if which not in ("q", "k", "v"):
        raise ValueError(f"{which!r} is not an input of a head: take 'q', 'k' or 'v'")
    W = getattr(grouped_head(model, layer, head), f"W_{which.upper()}")
    return norm_before(model, layer).linear(part, scale_in(run, model, layer)) @ W


def read_constant(model, layer: int, head: int, which: str) -> Float[Tensor, " d_head"]:
    """What a head's queries, keys or values are made of beside the stream: their bias, and what the norm's bias gives."""
    of_head = grouped_head(model, layer, head)
    W, b = (getattr(of_head, f"{name}_{which.upper()}") for name in "Wb")
    return norm_before(model, layer).bias @ W + b


def turned_in(run, layer: int, x: Float[Tensor, "*batch pos d_head"]) -> Float[Tensor, "*batch pos d_head"]:
    """Queries or keys as they are compared in a run: turned by their positions, if the model turns them."""
    if f"blocks.{layer}.attn.hook_cos" not in run:
        return x
    return rotated(x, *(run[f"blocks.{layer}.attn.hook_{which}"] for which in ("cos", "sin")))


def score_scale(model, layer: int) -> float:
    """What scores of queries with keys are multiplied by before the softmax: 1/√d_head, unless the model has another."""
    return getattr(model.blocks[layer].attn.original_component, "scaling", None) or model.cfg.d_head**-0.5


def compared(
    model, run, layer: int, head: int, first: int = 0
) -> tuple[dict[str, Float[Tensor, "batch pos d_head"]], dict[str, Float[Tensor, "batch pos d_head"]]]:
    """A head's queries and its keys in a run, turned by position, as a sum over parts of the stream, and "b_Q" or "b_K".

    Queries come multiplied by the factor of the scores. Raises ValueError if there is no such head, or if the scores do
    not give the run's pattern.
    """
    check_head(model, layer, head)
    parts = named_parts(model, run, layer, first)
    some, sides = next(iter(parts.values())), []
    for which in ("q", "k"):
        side = {name: part_read(model, run, layer, head, which, part) for name, part in parts.items()}
        if isinstance(positions := positions_read(model, run, layer, head, which), Tensor):
            side["positions"] = positions.expand(len(some), -1, -1)
        constant = read_constant(model, layer, head, which)
        side |= {f"b_{which.upper()}": constant.expand(*some.shape[:2], -1)} if constant.any() else {}
        sides.append({name: turned_in(run, layer, x) for name, x in side.items()})
    check_scores(model, run, layer, head)
    return {name: x * score_scale(model, layer) for name, x in sides[0].items()}, sides[1]


def check_scores(model, run, layer: int, head: int) -> None:
    """Raise ValueError unless queries and keys, made as here of the whole stream, give the pattern of the run."""
    check_known(model, "distances", "scores")
    stream, sides = stream_before(model, run, layer), []
    for which in ("q", "k"):
        read = part_read(model, run, layer, head, which, stream) + read_constant(model, layer, head, which)
        sides.append(turned_in(run, layer, read + positions_read(model, run, layer, head, which)))
    scores = sides[0] @ sides[1].mT * score_scale(model, layer)
    future = torch.ones_like(scores).triu(1).bool()
    check_sum(scores.masked_fill(future, -torch.inf).softmax(-1), run["pattern", layer][:, head], model.cfg.model_name)


def positions_read(model, run, layer: int, head: int, which: str) -> Float[Tensor, "pos d_head"] | float:
    """What the paper's positions give a head's queries or keys: W_Q and W_K read them beside the stream. Elsewhere 0."""
    if model.cfg.positional_embedding_type != "standard" or "hook_pos_embed" in run:
        return 0.0
    W = getattr(grouped_head(model, layer, head), f"W_{which.upper()}")
    return model.W_pos[: run["pattern", layer].shape[-1]] @ W


def frozen_score_terms(
    model, tokens: Int[Tensor, "batch pos"], layer: int, head: int, first: int = 0
) -> dict[tuple[str, str], Float[Tensor, "batch query key"]]:
    """`paths.attention_score_terms` of any decoder: scores before mask and softmax, as a sum over pairs of parts.

    Parts are those of `named_parts` and, of a query, "b_Q", of a key, "b_K": biases, the norm's among them. Each side is
    read with the scale of the run's norm, and turned by its positions. Raises ValueError if there is no such head, and if
    the terms are more than `NUMBERS` numbers: then `first` makes one part of all that came before a layer.
    """
    check_head(model, layer, head)
    run = model.run_with_cache(tokens, names_filter=needed)[1]
    queries, keys = compared(model, run, layer, head, first)
    if (count := len(queries) * len(keys) * len(tokens) * tokens.shape[1] ** 2) > NUMBERS:
        raise ValueError(
            f"{len(queries)} × {len(keys)} terms on these prompts are {count:,} numbers, more than {NUMBERS:,}: "
            f"shorten them, or give `first` a layer up to {layer}, to make one part of all that came before it"
        )
    return {(query, key): q @ k.mT for query, q in queries.items() for key, k in keys.items()}


def frozen_composed_scores(
    model, run, kind: str, first: Head, second: Head
) -> Float[Tensor, "query key"]:  # fmt: skip
    """`composition.composed_scores` of any decoder: a term of `frozen_score_terms`, of what one head wrote and the tokens.

    `run` is what `run_with_cache` returns for one prompt. Raises ValueError for another kind than "Q" and "K", and for
    pairs that cannot compose.
    """
    if kind not in ("Q", "K"):
        raise ValueError(
            f"{kind!r} is no side of an attention score: a query (Q) or a key (K) can be what a head wrote"
        )
    check_pair(model, first, second)
    check_scores(model, run, *second)
    wrote = run["z", first[0]][:1, :, first[1]] @ model.blocks[first[0]].attn.W_O[first[1]]
    parts = (wrote, run["hook_embed"][:1]) if kind == "Q" else (run["hook_embed"][:1], wrote)
    sides = [part_read(model, run, *second, which, part) for which, part in zip("qk", parts)]
    q, k = (turned_in(run, second[0], side)[0] for side in sides)
    return q @ k.T * score_scale(model, second[0])


def frozen_reading(
    model, head: Head, text: str
) -> tuple[Float[Tensor, "query key"], Float[Tensor, "query key"], Float[Tensor, " query"]]:
    """`induction.reading` of any decoder: values are those of the head's group, and the logit effect passes the final norm.

    The norm's scale is that of the run; its bias, as W_U's, is no head's and left out.
    """
    layer, number = head
    tokens, last = model.to_tokens(text), model.cfg.n_layers
    cache = model.run_with_cache(tokens, names_filter=lambda name: needed(name) or name.endswith("hook_v"))[1]
    of_head, norm = grouped_head(model, layer, number), norm_before(model, last)
    pattern, v, z = (cache[name, layer][0] for name in ("pattern", "v", "z"))
    scale = scale_in(cache, model, last)
    z = z[:, number] / (scale[0] if isinstance(scale, Tensor) else scale)
    effect = logit_effect(z, norm.linear(of_head.W_O), model.W_U, tokens[0])
    shared = number * v.shape[1] // model.cfg.n_heads
    sent = (v[:, shared] @ of_head.W_O).norm(dim=-1)
    return pattern[number], pattern[number] * sent, torch.cat([effect, effect.new_zeros(1)])


def frozen_virtual_head_ratios(
    model, run, R: Float[Tensor, "d_model d_model"] | None = None, layers: tuple[int, int] = (0, 1)
) -> Float[Tensor, "write read"]:
    """`virtual_head_ratios` of any decoder: the later head reads through its norm, with the scale of the run.

    Over the length of all that the later head adds, its bias b_V with it. Raises ValueError for layers in the wrong order.
    """
    (earlier, later), heads = layers, range(model.cfg.n_heads)
    check_pair(model, (earlier, 0), (later, 0))
    wrote = run["z", earlier][0].transpose(0, 1) @ model.blocks[earlier].attn.W_O  # [write pos d_model]
    read = wrote if R is None else wrote @ R
    ratios = []
    for head in heads:
        values = part_read(model, run, later, head, "v", read)
        W_O = model.blocks[later].attn.W_O[head]
        moved_on = run["pattern", later][0, head] @ values @ W_O
        ratios.append(moved_on.norm(dim=(-2, -1)) / (run["z", later][0, :, head] @ W_O).norm())
    return torch.stack(ratios, 1)


def by_kind_of_part(terms: dict[tuple[str, str], Any]) -> dict[str, Any]:
    """Terms of `frozen_score_terms` added up by what each side reads: "A" a head, "M" an MLP, "Id" the tokens and the rest.

    The query comes first, as in `composition.by_group`, which knows no MLPs.
    """
    groups: dict[str, Any] = {}
    kind = lambda part: "A" if ":" in part else "M" if part.startswith("MLP") else "Id"
    for parts, term in terms.items():
        name = " ⊗ ".join(map(kind, parts))
        groups[name] = groups.get(name, 0) + term
    return groups
