"""The exercises of notebook 20: norms that are held, rotation, groups, and a sink."""

import math

import torch
from torch import Tensor

from walkthrough.exercises.exercise import Exercise
from walkthrough.exercises.pulling import noise

# 20.1 through a norm


def streams() -> list[tuple]:
    """Parts of several lengths, a gain with signs, and an eps that counts."""
    return [
        (noise(3, 4, 6) * torch.tensor([3.0, 0.5, 1.0])[:, None, None], noise(6, seed=1), 0.1),
        (noise(2, 2, 5, seed=2), noise(5, seed=3) + 2, 0.01),
    ]


def slow_norm(parts: Tensor, gain: Tensor, eps: float) -> Tensor:
    """Number by number."""
    read = torch.zeros_like(parts)
    for pos in range(parts.shape[1]):
        stream = [sum(part[pos][i].item() for part in parts) for i in range(parts.shape[2])]
        scale = math.sqrt(sum(x * x for x in stream) / len(stream) + eps)
        for part in range(len(parts)):
            for i in range(len(stream)):
                read[part, pos, i] = parts[part, pos, i].item() / scale * gain[i].item()
    return read


def rms(x: Tensor, eps: float) -> Tensor:
    """The root of the mean square."""
    return (x.square().mean(-1, keepdim=True) + eps).sqrt()


NORM_MISTAKES = {
    "each part was divided by its OWN scale: then what is read of the parts does not add up":
        lambda p, g, e: p / rms(p, e) * g,
    "that is the length: an RMSNorm takes the MEAN of the squares, not their sum":
        lambda p, g, e: p / (p.sum(0).square().sum(-1, keepdim=True) + e).sqrt() * g,
    "the gain is missing: multiply by it, coordinate by coordinate":
        lambda p, g, e: p / rms(p.sum(0), e),
    "eps is missing: it is added to the mean square, under the root":
        lambda p, g, e: p / rms(p.sum(0), 0.0) * g,
    "eps stands under the root, added to the mean square: not outside":
        lambda p, g, e: p / (rms(p.sum(0), 0.0) + e) * g,
    "a LayerNorm takes the mean away, an RMSNorm does not":
        lambda p, g, e: (p - p.mean(-1, keepdim=True)) / rms(p.sum(0) - p.sum(0).mean(-1, keepdim=True), e) * g,
    "every position has a scale of its own: the mean is over d_model alone":
        lambda p, g, e: p / (p.sum(0).square().mean() + e).sqrt() * g,
    "the root is missing: the scale is the ROOT of the mean square":
        lambda p, g, e: p / rms(p.sum(0), e).square() * g,
    "that is the scale of the mean of the parts: the stream is their SUM":
        lambda p, g, e: p / rms(p.mean(0), e) * g,
}  # fmt: skip


# 20.2 rotation


def queries() -> list[tuple]:
    """Vectors of one head, of two widths, and bases."""
    return [(noise(5, 6), 100.0), (noise(4, 8, seed=1), 10.0)]


def slow_turned(x: Tensor, base: float) -> Tensor:
    """As complex numbers, plane by plane."""
    n_pos, d_head = x.shape
    half, turned = d_head // 2, torch.zeros_like(x)
    for position in range(n_pos):
        for plane in range(half):
            angle = position * base ** (-2 * plane / d_head)
            point = complex(x[position, plane].item(), x[position, plane + half].item())
            point *= complex(math.cos(angle), math.sin(angle))
            turned[position, plane], turned[position, plane + half] = point.real, point.imag
    return turned


def turned(x: Tensor, angles: Tensor, sign: int = 1) -> Tensor:
    """Turned by angles, [pos plane]."""
    first, second = x.chunk(2, -1)
    cos, sin = angles.cos(), sign * angles.sin()
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)


def angles_of(x: Tensor, base: float, start: int = 0, power: float = 1.0) -> Tensor:
    """Position times the angle of each plane."""
    half = x.shape[1] // 2
    return (torch.arange(len(x)) + start)[:, None] * base ** (-power * torch.arange(half) / half)


def neighbours(x: Tensor, base: float) -> Tensor:
    """With planes of neighbouring coordinates."""
    pairs = torch.cat([x[:, ::2], x[:, 1::2]], -1)
    done = turned(pairs, angles_of(x, base))
    return torch.stack(done.chunk(2, -1), -1).flatten(1)


TURN_MISTAKES = {
    "turned the other way: what is added to the first coordinate is MINUS the second one times the sine":
        lambda x, b: turned(x, angles_of(x, b), -1),
    "the planes are of coordinates i and i + d_head / 2: you took neighbours":
        neighbours,
    "positions are counted from 0: the first vector stays as it is":
        lambda x, b: turned(x, angles_of(x, b, 1)),
    "planes turn faster and faster: the exponent has a minus sign":
        lambda x, b: turned(x, angles_of(x, b, power=-1.0)),
    "the exponent is -2 i / d_head: you left out the 2":
        lambda x, b: turned(x, angles_of(x, b, power=0.5)),
    "the exponent is -2 i / d_head: yours is twice as large":
        lambda x, b: turned(x, angles_of(x, b, power=2.0)),
    "all planes were turned by the same angle: plane i has an angle of its own":
        lambda x, b: turned(x, angles_of(x, 1.0)),
    "the second coordinate needs its part of the first: second * cos + first * sin":
        lambda x, b: torch.cat([turned(x, angles_of(x, b)).chunk(2, -1)[0],
                                (x.chunk(2, -1)[1] * angles_of(x, b).cos())], -1),
}  # fmt: skip


# 20.3 groups


def groups() -> list[tuple]:
    """Matrices of groups, with two or three heads in each."""
    return [(noise(3, 4, 2), 9), (noise(2, 3, 2, seed=1), 4), (noise(4, 2, 2, seed=2), 4)]


def slow_groups(W: Tensor, n_heads: int) -> Tensor:
    """Head by head."""
    size = n_heads // len(W)
    return torch.stack([W[head // size] for head in range(n_heads)])


GROUP_MISTAKES = {
    "heads of a group are NEIGHBOURS: with `repeat`, head 1 gets the second matrix (that is `repeat_interleave`'s task)":
        lambda W, n: W.repeat(n // len(W), 1, 1),
    "the axis of groups is the first one: `dim=0`":
        lambda W, n: W.repeat_interleave(n // len(W), 1),
    "each matrix was repeated n_heads times: it has n_heads divided by the number of groups":
        lambda W, n: W.repeat_interleave(n, 0),
    "the groups come in reverse order":
        lambda W, n: W.flip(0).repeat_interleave(n // len(W), 0),
}  # fmt: skip


# 20.4 planes


def heads() -> list[tuple]:
    """Weights whose planes have several sizes."""
    sizes = torch.tensor([3.0, 0.3, 1.0, 1.0, 2.0, 0.5])
    return [(noise(5, 6) * sizes, noise(5, 6, seed=1)), (noise(3, 4, seed=2), noise(3, 4, seed=3))]


def slow_shares(W_Q: Tensor, W_K: Tensor) -> Tensor:
    """Entry by entry of each plane's product."""
    half, sizes = W_Q.shape[1] // 2, []
    for i in range(half):
        total = 0.0
        for q in W_Q.tolist():
            for k in W_K.tolist():
                total += (q[i] * k[i] + q[i + half] * k[i + half]) ** 2
        sizes.append(total)
    return torch.tensor(sizes) / sum(sizes)


def sizes_of(W_Q: Tensor, W_K: Tensor, step: int = 0) -> Tensor:
    """Sums of squares of the planes' products; with a step, of other pairs of columns."""
    half = W_Q.shape[1] // 2
    pairs = [[i, i + half] if step == 0 else [2 * i, 2 * i + 1] for i in range(half)]
    return torch.stack([(W_Q[:, pair] @ W_K[:, pair].T).square().sum() for pair in pairs])


def normal(x: Tensor) -> Tensor:
    """Divided by the sum."""
    return x / x.sum()


def both(W_Q: Tensor, W_K: Tensor) -> tuple[Tensor, Tensor]:
    """Squared sizes of the planes of W_Q and of W_K."""
    return tuple(W.square().sum(0).view(2, -1).sum(0) for W in (W_Q, W_K))


PLANE_MISTAKES = {
    "the planes are of columns i and i + d_head / 2: you took neighbours":
        lambda Q, K: normal(sizes_of(Q, K, 2)),
    "those are sizes: divide by their sum, so that the shares sum to 1":
        lambda Q, K: sizes_of(Q, K),
    "those are shares of norms: take the sums of SQUARES":
        lambda Q, K: normal(sizes_of(Q, K).sqrt()),
    "that is the size of W_Q's columns alone: the plane's part is a product of W_Q and W_K":
        lambda Q, K: normal(both(Q, K)[0]),
    "that is the size of W_K's columns alone: the plane's part is a product of W_Q and W_K":
        lambda Q, K: normal(both(Q, K)[1]),
    "that is the product of two sizes: take the size of the product of the two columns of W_Q with those of W_K":
        lambda Q, K: normal(both(Q, K)[0] * both(Q, K)[1]),
    "that treats a plane's two columns one by one: their products add up BEFORE they are squared":
        lambda Q, K: normal((Q.square().sum(0) * K.square().sum(0)).view(2, -1).sum(0)),
    "one share for each PLANE: you have one for each column":
        lambda Q, K: normal(Q.square().sum(0) * K.square().sum(0)),
}  # fmt: skip


# 20.5 the sink


def patterns() -> list[tuple]:
    """Causal patterns of several heads."""
    masked = lambda x: torch.softmax(x * 2 + torch.full(x.shape[1:], -1e9).triu(1), -1)
    return [(masked(noise(3, 6, 6)),), (masked(noise(2, 4, 4, seed=1)),)]


def slow_excess(pattern: Tensor) -> Tensor:
    """Head by head and query by query."""
    found = []
    for head in pattern.tolist():
        above = [row[0] - 1 / (query + 1) for query, row in enumerate(head)][1:]
        found.append(sum(above) / len(above))
    return torch.tensor(found)


def even_look(pattern: Tensor) -> Tensor:
    """What an even look pays position 0, for each query."""
    return 1 / (torch.arange(pattern.shape[-1]) + 1)


SINK_MISTAKES = {
    "that is the attention itself: take away what an even look would pay":
        lambda p: p[:, 1:, 0].mean(-1),
    "query 0 sees nothing but itself: leave it out":
        lambda p: (p[:, :, 0] - even_look(p)).mean(-1),
    "query q sees q + 1 keys, itself among them: an even look pays 1 / (q + 1)":
        lambda p: (p[:, 1:, 0] - 1 / torch.arange(1, p.shape[-1])).mean(-1),
    "an even look of query q divides among the q + 1 keys that it sees, not among all positions":
        lambda p: (p[:, 1:, 0] - 1 / p.shape[-1]).mean(-1),
    "the rows are the queries: you took what query 0 pays to all keys":
        lambda p: (p[:, 0, 1:] - even_look(p)[1:]).mean(-1),
    "that is how many TIMES an even look it is: take the difference":
        lambda p: p[:, 1:, 0].mean(-1) / even_look(p)[1:].mean(),
    "that is the last query's: take the mean over all queries but the first":
        lambda p: p[:, -1, 0] - even_look(p)[-1],
}  # fmt: skip


EXERCISES: dict[str, Exercise] = {
    "20.1": Exercise(streams, slow_norm, NORM_MISTAKES),
    "20.2": Exercise(queries, slow_turned, TURN_MISTAKES),
    "20.3": Exercise(groups, slow_groups, GROUP_MISTAKES),
    "20.4": Exercise(heads, slow_shares, PLANE_MISTAKES),
    "20.5": Exercise(patterns, slow_excess, SINK_MISTAKES),
}
