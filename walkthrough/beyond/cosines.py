"""How close the tokens of a text are to one another, layer by layer, and what brings them closer: for any bridge."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from walkthrough.architecture import leaves_out
from walkthrough.paths import layer_parts


def mean_cosine(x: Float[Tensor, "*text pos d_model"]) -> Float[Tensor, "*text"]:
    """The mean cosine between two different tokens of each text, from about 0 (spread out) to 1 (one cluster).

    Raises ValueError for fewer than two tokens, and for a vector of length zero, which has no direction.
    """
    n = x.shape[-2]
    if n < 2:
        raise ValueError(f"a cosine is between two tokens, and this text has {n}: give at least two")
    total = unit_vectors(x).sum(-2).square().sum(-1)  # the n cosines of tokens with themselves are in it
    return (total - n) / (n * (n - 1))


def unit_vectors(x: Float[Tensor, "*any d_model"]) -> Float[Tensor, "*any d_model"]:
    """The vectors with length 1; ValueError for one of length zero."""
    lengths = x.norm(dim=-1, keepdim=True)
    if (lengths == 0).any():
        raise ValueError("a vector of length zero has no direction: leave that token out")
    return x / lengths


def common_direction(x: Float[Tensor, "text pos d_model"]) -> Float[Tensor, " d_model"]:
    """The direction of the mean of all tokens' directions, in all texts: what every token has in common with the
    others.
    """
    return unit_vectors(unit_vectors(x).mean((0, 1)))


def split_cosine(
    x: Float[Tensor, "*text pos d_model"], direction: Float[Tensor, " d_model"]
) -> tuple[Float[Tensor, "*text"], Float[Tensor, "*text"]]:  # fmt: skip
    """The mean cosine as a sum of two: what the parts along a unit vector give, and the rest.

    Take a direction from other texts, or it holds something of this one.
    """
    n = x.shape[-2]
    along = unit_vectors(x) @ direction
    common = (along.sum(-1).square() - along.square().sum(-1)) / (n * (n - 1))
    return common, mean_cosine(x) - common


def split_by_other_texts(x: Float[Tensor, "text pos d_model"]) -> tuple[Float[Tensor, " text"], Float[Tensor, " text"]]:
    """`split_cosine` of each text, with the common direction of all the others; ValueError for a single text."""
    if len(x) < 2:
        raise ValueError("the common direction comes from other texts, and there is only one: give at least two")
    parts = [split_cosine(x[i], common_direction(torch.cat([x[:i], x[i + 1 :]]))) for i in range(len(x))]
    return torch.stack([common for common, _ in parts]), torch.stack([rest for _, rest in parts])


def cosine_between_texts(x: Float[Tensor, "text pos d_model"]) -> Float[Tensor, ""]:
    """The mean cosine between a token of one text and a token of another; ValueError for a single text.

    Tokens that attract each other raise the cosine within texts only. What raises both has another cause.
    """
    if len(x) < 2:
        raise ValueError("there is only one text: give at least two, to compare tokens of one with those of another")
    means = unit_vectors(x).mean(1)
    return (means.sum(0).square().sum() - means.square().sum()) / (len(x) * (len(x) - 1))


@torch.no_grad()
def streams_by_part(model, tokens: Int[Tensor, "text pos"]) -> dict[str, Float[Tensor, "text pos_after_bos d_model"]]:
    """The residual stream after the embedding and after every part that adds to it, by name, for any bridge.

    The names are "embedding", and "attention 0", "MLP 0" and so on. `<BOS>`, the first token, is left out: in many
    models everything looks at it, and its vector is like no other.
    """
    cache = model.run_with_cache(tokens)[1]
    found = {"embedding": cache["resid_pre", 0] if model.cfg.n_layers else cache["hook_embed"]}
    for layer in range(model.cfg.n_layers):
        middle = f"blocks.{layer}.hook_resid_mid"
        if middle in cache:
            found[f"attention {layer}"] = cache[middle]
            found[f"MLP {layer}"] = cache["resid_post", layer]
        else:
            found[f"attention {layer}"] = cache["resid_post", layer]
    return {name: x[:, 1:] for name, x in found.items()}


def cosines_by_part(model, tokens: Int[Tensor, "text pos"]) -> Float[Tensor, "part text"]:
    """The mean cosine of each text after the embedding and after each part that adds to the stream."""
    return torch.stack([mean_cosine(x) for x in streams_by_part(model, tokens).values()])


@leaves_out("writes")
@torch.no_grad()
def rise_by_source(model, tokens: Int[Tensor, "text pos"]) -> dict[str, Float[Tensor, "layer text"]]:
    """By how much each source raises the mean cosine, layer by layer: what heads carry from `<BOS>`, from the token
    itself and from other tokens, then the MLP (with all biases).

    They are added in this order, each to what is there already, and a layer's sum is its whole rise; in another order,
    the shares would be others. A norm between layers changes no cosine.
    """
    rows = []
    _, cache = model.run_with_cache(tokens)
    for layer in range(model.cfg.n_layers):
        pattern, x = cache["pattern", layer], cache["resid_pre", layer]
        v = cache["v", layer]
        v = v.repeat_interleave(model.cfg.n_heads // v.shape[2], dim=2)  # fewer keys and values than queries
        own = torch.diag_embed(pattern.diagonal(dim1=2, dim2=3))
        sink = torch.zeros_like(pattern)
        sink[..., 0] = pattern[..., 0]
        sink[:, :, 0] = 0  # what `<BOS>` gives itself counts as its own
        steps = [x]
        for part in (sink, own, pattern - sink - own):
            z = torch.einsum("thqk,tkhd->tqhd", part, v)
            steps.append(steps[-1] + layer_parts(z, model.W_O[layer]).sum(0))
        steps.append(cache["resid_post", layer])
        cosines = torch.stack([mean_cosine(step[:, 1:]) for step in steps])
        rows.append(cosines.diff(dim=0))
    names = ("from <BOS>", "from the token itself", "from other tokens", "MLP and biases")
    return dict(zip(names, torch.stack(rows, 1)))
