"""What today's models have beside the paper's parts, each in a few lines; and prompts of a released model's own words."""

import random
import re
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from walkthrough.beyond.positivity import positivity_of


def read_through_norm(
    parts: Float[Tensor, "part pos d_model"], gain: Float[Tensor, " d_model"], eps: float
) -> Float[Tensor, "part pos d_model"]:
    """What is read of each part of a stream through an RMSNorm whose scale is held.

    The scale is that of the whole stream, which is the sum of the parts: so what is read of the
    parts adds up to what is read of the stream (after Elhage et al. 2021, "Technical Details").
    """
    stream = parts.sum(0)
    scale = (stream.square().mean(-1, keepdim=True) + eps).sqrt()
    return parts / scale * gain


def turned_by_position(
    x: Float[Tensor, "pos d_head"], base: float
) -> Float[Tensor, "pos d_head"]:  # fmt: skip
    """Queries or keys of one head, the one at position p turned by p times the angle of each plane.

    Plane i has coordinates i and i + d_head / 2, and an angle of base ** (-2 i / d_head) radians
    (Su et al. 2021, "RoFormer").
    """
    half = x.shape[1] // 2
    speeds = base ** (-torch.arange(half) / half)
    angles = torch.arange(len(x))[:, None] * speeds  # [pos plane]
    first, second = x[:, :half], x[:, half:]
    across = first * angles.cos() - second * angles.sin()
    up = second * angles.cos() + first * angles.sin()
    return torch.cat([across, up], dim=-1)


def for_each_head(
    W: Float[Tensor, "group d_model d_head"], n_heads: int
) -> Float[Tensor, "head d_model d_head"]:  # fmt: skip
    """Key or value matrices that are stored once a group, as one for each head.

    Heads of a group are neighbours: of 9 heads in 3 groups, heads 0, 1 and 2 share the first matrix
    (Ainslie et al. 2023, "GQA").
    """
    return W.repeat_interleave(n_heads // len(W), dim=0)


def plane_shares(W_Q: Float[Tensor, "d_model d_head"], W_K: Float[Tensor, "d_model d_head"]) -> Float[Tensor, " plane"]:
    """How a head's W_QK is shared out among the planes that rotation turns: shares that sum to 1.

    The size of a plane is the sum of squares of the product of its two columns of W_Q with those
    of W_K. Plane i has columns i and i + d_head / 2.
    """
    half, sizes = W_Q.shape[1] // 2, []
    for plane in range(half):
        Q, K = W_Q[:, plane::half], W_K[:, plane::half]  # [d_model 2]
        sizes.append(((Q.T @ Q) * (K.T @ K)).sum())  # the sum of squares of Q @ K.T
    return torch.stack(sizes) / sum(sizes)


def sink_excess(pattern: Float[Tensor, "head query key"]) -> Float[Tensor, " head"]:
    """Attention that each head pays position 0, above what an even look would pay it.

    A mean over all queries but the first, which sees nothing else. Query q sees q + 1 keys, and an
    even look pays each of them 1 / (q + 1).
    """
    query = torch.arange(1, pattern.shape[-1])
    even = 1 / (query + 1)
    return (pattern[:, 1:, 0] - even).mean(-1)


def common_words(tokenizer, most: int = 3000) -> Int[Tensor, " word"]:
    """The first `most` tokens that are a space and at least three small letters; of byte-pair tokens, the commonest."""
    pieces = ((token, tokenizer.decode([token])) for token in range(len(tokenizer)))
    words = [token for token, piece in pieces if re.fullmatch(r" [a-z]{3,}", piece)]
    return torch.tensor(words[:most])


def random_words(
    words: Int[Tensor, " word"], *, length: int, times: int, batch: int, bos: int, seed: int = 0
) -> Int[Tensor, "batch pos"]:  # fmt: skip
    """The token `bos`, then `length` of these words, drawn at random, `times` times over: `repeated_tokens` of words."""
    generator = torch.Generator().manual_seed(seed)
    once = words[torch.randint(len(words), (batch, length), generator=generator)]
    return torch.cat([torch.full((batch, 1), bos), once.repeat(1, times)], dim=1)


def random_heads(
    n_heads: int, size: int, *, layers: Sequence[int], without: Sequence[tuple[int, int]], seed: int = 0
) -> list[tuple[int, int]]:  # fmt: skip
    """`size` different heads of these layers, drawn at random, none of those in `without`.

    Raises ValueError if there are not so many.
    """
    pool = [(layer, head) for layer in layers for head in range(n_heads) if (layer, head) not in without]
    if size > len(pool):
        raise ValueError(f"there are {len(pool)} other heads in these layers, fewer than {size}")
    return sorted(random.Random(seed).sample(pool, size))


def word_positivity(
    read: Float[Tensor, "word d_model"], W_V: Float[Tensor, "head d_model d_head"],
    W_O: Float[Tensor, "head d_head d_model"], outputs: Float[Tensor, "d_model word"],
) -> Float[Tensor, " head"]:  # fmt: skip
    """Eigenvalue positivity of heads between some words: what they read as each word, and the logits of the same words.

    Rows of `read` are brought to one length, as an RMSNorm does, and each word's logits are taken less their mean.
    """
    units = read / read.square().mean(-1, keepdim=True).sqrt()
    centred = outputs - outputs.mean(-1, keepdim=True)
    return positivity_of(W_O @ (centred @ units) @ W_V)
