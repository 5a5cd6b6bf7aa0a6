"""Exercise 18.1: a force as a sum of three."""

import torch
from torch import Tensor


def noise(*shape: int, seed: int = 0) -> Tensor:
    """Normal numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def three_vectors() -> list[tuple]:
    """A force, a token and a sender: two of any length, then senders that have no way, the last by rounding."""
    token = torch.tensor([0.3, -0.4, 1.2, 0.5])
    return [
        (*noise(3, 4),),
        (noise(4, seed=1) / 3, noise(4, seed=2) * 2, noise(4, seed=3) * 5),
        (noise(4, seed=4), torch.tensor([0.0, 2.0, 0.0, 0.0]), torch.tensor([0.0, -3.0, 0.0, 0.0])),
        (noise(4, seed=5), token, torch.zeros(4)),
        (noise(4, seed=6), token, 3 * token),
    ]


def dot(a: list[float], b: list[float]) -> float:
    """The dot product."""
    return sum(x * y for x, y in zip(a, b))


def slow_three(force: Tensor, token: Tensor, sender: Tensor) -> Tensor:
    """Number by number, in double precision, with cosines for lengths."""
    f, t, s = force.tolist(), token.tolist(), sender.tolist()
    along = [dot(f, t) / dot(t, t) * x for x in t]
    way = [y - dot(s, t) / dot(t, t) * x for x, y in zip(t, s)]
    has_way = dot(way, way) > 1e-12 * dot(s, s)
    towards = [dot(f, way) / dot(way, way) * w if has_way else 0.0 for w in way]
    return torch.tensor([along, towards, [x - a - b for x, a, b in zip(f, along, towards)]])


def in_three(force: Tensor, token: Tensor, way: Tensor) -> Tensor:
    """The three parts, for any way that is given."""
    up = token / token.norm()
    along = (force @ up) * up
    towards = (force @ way) * way / way.square().sum() if way.any() else torch.zeros_like(force)
    return torch.stack([along, towards, force - along - towards])


def way_to(token: Tensor, sender: Tensor, rounding: float = 1e-6) -> Tensor:
    """The sender's part at right angles to the token; zero where it is no more than rounding."""
    up = token / token.norm()
    way = sender - (sender @ up) * up
    return way if way.norm() > rounding * sender.norm() else torch.zeros_like(way)


def unguarded(force: Tensor, token: Tensor, sender: Tensor) -> Tensor:
    """The three parts, divided by the length of a way even where there is none."""
    along, _, _ = in_three(force, token, token)
    way = way_to(token, sender, rounding=-1.0)
    towards = (force @ way) * way / (way @ way)
    return torch.stack([along, towards, force - along - towards])


def unscaled(force: Tensor, token: Tensor, sender: Tensor) -> Tensor:
    """With a token that was not divided by its length."""
    along = (force @ token) * token
    way = sender - (sender @ token) * token
    towards = (force @ way) * way / (way @ way) if way.any() else torch.zeros_like(force)
    return torch.stack([along, towards, force - along - towards])


def long_way(force: Tensor, token: Tensor, sender: Tensor) -> Tensor:
    """With a way that was not divided by its length."""
    along, way = in_three(force, token, token)[0], way_to(token, sender)
    towards = (force @ way) * way
    return torch.stack([along, towards, force - along - towards])


def only_along_taken(force: Tensor, token: Tensor, sender: Tensor) -> Tensor:
    """With a third part that still contains the second."""
    along, towards, _ = in_three(force, token, way_to(token, sender))
    return torch.stack([along, towards, force - along])


THREE_MISTAKES = {
    "divide the token by its length first: here tokens are of any length":
        unscaled,
    "the way must have length 1 before you project on it":
        long_way,
    "the way is at right angles to the token: take away the sender's part along the token":
        lambda f, t, s: in_three(f, t, s),
    "the straight line from token to sender leaves the sphere: take away its part along the token":
        lambda f, t, s: in_three(f, t, s - t),
    "the parts are in another order: along the token, on the way to the sender, sideways":
        lambda f, t, s: in_three(f, t, way_to(t, s))[[1, 0, 2]],
    "that is right where there is a way: a sender of length zero, or straight above the token, has none (0/0)":
        unguarded,
    "right, but for rounding: a way that is a millionth of the sender's length is what rounding leaves, so it counts as none":
        lambda f, t, s: in_three(f, t, way_to(t, s, rounding=0.0)),
    "the third part is what is left of the force when BOTH others are taken away":
        only_along_taken,
}  # fmt: skip
