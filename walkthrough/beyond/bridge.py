"""Tokens as features: how a language model's vectors share dimensions, and whether that shows in its errors."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from walkthrough import behaviour
from walkthrough.architecture import bos


def rms_cosine(W: Float[Tensor, "feature dim"]) -> Float[Tensor, ""]:
    """The root mean square of the cosine between two different rows."""
    n = len(W)
    unit = W / W.norm(dim=1, keepdim=True)
    squares = (unit.T @ unit).square().sum()  # the same sum as that of (unit @ unit.T), of a smaller table
    return ((squares - n) / (n * (n - 1))).clamp(min=0).sqrt()


def welch_bound(n_features: int, n_dims: int) -> float:
    """The least that `rms_cosine` can be for so many vectors in so many dimensions (Welch 1974); 0 if they all fit."""
    return max(0.0, (n_features - n_dims) / (n_dims * (n_features - 1))) ** 0.5


def random_like(W: Float[Tensor, "feature dim"], seed: int) -> Float[Tensor, "feature dim"]:
    """Random directions with the lengths of the rows of W: every direction is equally likely."""
    noise = torch.randn(W.shape, generator=torch.Generator().manual_seed(seed))
    return noise / noise.norm(dim=1, keepdim=True) * W.norm(dim=1, keepdim=True)


def said_on_copies(
    model, length: int = 20, batch: int = 100, seed: int = 0
) -> tuple[Int[Tensor, " place"], Int[Tensor, " place"], Float[Tensor, " place"]]:
    """The right token, the likeliest one, and the loss in nats, where a text of random tokens is said again.

    From the second token of the second copy on: the first can hardly be known.
    """
    rows = behaviour.repeated_tokens(model.cfg.d_vocab, length, times=2, batch=batch, seed=seed, bos=bos(model))
    right, said, losses = [], [], []
    for some in rows.split(25):
        log_probs = model(some[:, :-1])[:, length + 1 :].log_softmax(-1)
        came = some[:, length + 2 :]
        right.append(came.flatten())
        said.append(log_probs.argmax(-1).flatten())
        losses.append(-log_probs.gather(2, came[..., None]).flatten())
    return torch.cat(right), torch.cat(said), torch.cat(losses)


def shuffled_within(values: Float[Tensor, " token"], size: int, seed: int) -> Int[Tensor, " token"]:
    """An order of all tokens in which each goes to the place of one with a similar value.

    Tokens are sorted by value, cut into blocks of `size`, and shuffled within each block.
    """
    generator = torch.Generator().manual_seed(seed)
    order = torch.empty(len(values), dtype=torch.long)
    for block in values.argsort().split(size):
        order[block] = block[torch.randperm(len(block), generator=generator)]
    return order


def is_near(
    W: Float[Tensor, "token dim"], right: Int[Tensor, " place"], said: Int[Tensor, " place"], within: float = 0.01
) -> Bool[Tensor, " place"]:
    """Whether `said` is among the nearest tokens of `right`, by cosine, at each place.

    `within` says how many of all other tokens count as the nearest.
    """
    unit = W / W.norm(dim=1, keepdim=True)
    cosines = unit[right] @ unit.T  # [place token]
    own = cosines.gather(1, said[:, None])
    nearer = (cosines > own).sum(1) - 1  # without the right token itself
    return nearer < within * (len(W) - 1)


def share_near(
    W: Float[Tensor, "token dim"], right: Int[Tensor, " place"], said: Int[Tensor, " place"], within: float = 0.01
) -> Float[Tensor, ""]:
    """For how many of the places `is_near` holds: a share from 0 to 1. By chance, it is `within`."""
    return is_near(W, right, said, within).double().mean()


def share_among_top(
    scores: Float[Tensor, "place token"], said: Int[Tensor, " place"], within: float = 0.01
) -> Float[Tensor, ""]:
    """For how many of the places `said` is among the tokens of the highest scores: a share from 0 to 1."""
    higher = (scores > scores.gather(1, said[:, None])).sum(1)
    return (higher < within * scores.shape[1]).double().mean()


def mean_by_token(
    values: Float[Tensor, " place"], tokens: Int[Tensor, " place"], d_vocab: int
) -> tuple[Float[Tensor, " token"], Int[Tensor, " token"]]:
    """The mean value of each token, and how many values it had; nan where it had none."""
    times = tokens.bincount(minlength=d_vocab)
    sums = torch.zeros(d_vocab, dtype=torch.float64).index_add_(0, tokens, values.double())
    return sums / times, times


def partial_rank_correlation(
    a: Float[Tensor, " entry"], b: Float[Tensor, " entry"], given: Float[Tensor, " entry"]
) -> float:  # fmt: skip
    """Rank correlation of a and b with a third thing held fixed: that of what its ranks leave unexplained by a straight line."""
    ranks = [x.double().argsort().argsort().double() for x in (a, b, given)]
    x, y, z = (rank - rank.mean() for rank in ranks)
    x, y = x - (x @ z) / (z @ z) * z, y - (y @ z) / (z @ z) * z
    return ((x @ y) / (x.norm() * y.norm())).item()


def raised_by_source(
    model, length: int = 20, batch: int = 200, seed: int = 0
) -> tuple[Int[Tensor, " prompt"], Int[Tensor, " prompt"]]:
    """The token that is to be copied, and the other one that its earlier copy raises most: one pair a prompt.

    A text of random tokens is said twice, once as it is and once with another random token in place of one of the first copy
    (resample ablation). The logits where that token should come again are compared: what is as likely anyway drops out.
    """
    rows = behaviour.repeated_tokens(model.cfg.d_vocab, length, times=2, batch=batch, seed=seed, bos=bos(model))
    generator = torch.Generator().manual_seed(seed + 1)
    place = torch.randint(2, length + 1, (batch,), generator=generator)  # in the first copy; 1 is its first token
    each = torch.arange(batch)
    source = rows[each, place]
    changed = rows.clone()
    others = torch.randint(1, model.cfg.d_vocab, (batch, 1), generator=generator)
    changed[each, place] = behaviour.begun_with(others, bos(model))[:, 0]
    logits = [torch.cat([model(some) for some in run.split(25)])[each, place + length - 1] for run in (rows, changed)]
    rise = logits[0] - logits[1]
    rise[each, source] = -torch.inf
    return source, rise.argmax(-1)
