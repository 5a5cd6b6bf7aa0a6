"""The judge of a rotated layer: which of its weights are wrong, and why."""

import torch
from torch import Tensor

from walkthrough.exercises.summing import random_tensor


def mlp_output(resid: Tensor, W_in: Tensor, b_in: Tensor, W_out: Tensor, b_out: Tensor) -> Tensor:
    """What a layer of neurons adds to the stream."""
    return (resid @ W_in + b_in).relu() @ W_out + b_out


NAMES = ("W_in", "b_in", "W_out", "b_out")
ROTATED_WRONGLY = {  # for each weight: what a slip makes of it, and what to say
    "W_in": {
        "W_in is not rotated: it reads the stream, so it must first rotate it back": lambda W, R: W,
        "R is transposed on the reading side: W_in must first rotate the stream back, by R.T on its left":
            lambda W, R: R @ W,
        "R is on the wrong side of W_in: that would rotate the neurons, and relu would not survive it":
            lambda W, R: W @ R,
        "R.T is on the wrong side of W_in: that would rotate the neurons, and relu would not survive it":
            lambda W, R: W @ R.T,
        "W_in is rotated on both sides: neurons are not the stream, so leave their side as it is":
            lambda W, R: R.T @ W @ R,
    },
    "b_in": {
        "b_in was rotated: it is added to the neurons, which stay as they are": lambda b, R: b @ R,
        "b_in was rotated, and by R.T: it is added to the neurons, which stay as they are": lambda b, R: b @ R.T,
    },
    "W_out": {
        "W_out is not rotated: it writes to the stream": lambda W, R: W,
        "R is transposed on the writing side: what is written rotates like the stream, by R on the right of W_out":
            lambda W, R: W @ R.T,
        "R is on the wrong side of W_out: its left side holds neurons, and its right side the stream":
            lambda W, R: R @ W,
        "R.T is on the wrong side of W_out: its left side holds neurons, and its right side the stream":
            lambda W, R: R.T @ W,
        "W_out is rotated on both sides: neurons are not the stream, so leave their side as it is":
            lambda W, R: R.T @ W @ R,
    },
    "b_out": {
        "b_out is not rotated: it is added to the stream, as what W_out writes is": lambda b, R: b,
        "R is transposed at b_out: it is added to the stream, and rotates like it, by R on its right":
            lambda b, R: b @ R.T,
    },
}  # fmt: skip


def rotated_slowly(W_in: Tensor, b_in: Tensor, W_out: Tensor, b_out: Tensor, R: Tensor) -> tuple[Tensor, ...]:
    """One neuron at a time: what it reads and what it writes are vectors of the stream."""
    reads = torch.stack([neuron @ R for neuron in W_in.T], dim=1)
    return reads, b_in, torch.stack([written @ R for written in W_out]), b_out @ R


def judge_rotation(answer: object, *given: Tensor) -> str | None:
    """What is wrong with the rotated weights: all that is, tensor by tensor; None if the layer does what it should."""
    *old, R = given
    if not isinstance(answer, (tuple, list)) or len(answer) != 4:
        return "return four tensors: W_in, b_in, W_out and b_out, in this order"
    for name, mine, was in zip(NAMES, answer, old):
        if not isinstance(mine, Tensor):
            return f"your {name} is not a tensor but of type {type(mine).__name__}"
        if mine.shape != was.shape:
            order = "; are the four in the order W_in, b_in, W_out, b_out?" if mine.ndim != was.ndim else ""
            return f"wrong shape: your {name} is {list(mine.shape)}, it should be {list(was.shape)}{order}"
    mine = [weight.detach().to(R) for weight in answer]
    resid = random_tensor(20, len(R), seed=9)
    if torch.allclose(mlp_output(resid @ R, *mine), mlp_output(resid, *old) @ R, atol=1e-4):
        return None
    return slips(in_the_old_order(mine, old[1]), old, R)


def in_the_old_order(mine: list[Tensor], b_in: Tensor) -> list[Tensor]:
    """The weights with the neurons listed as they were, if their biases tell which is which."""
    order = torch.cdist(b_in[:, None], mine[1][:, None]).argmin(1)
    if not torch.allclose(mine[1][order], b_in, atol=1e-5):
        return mine
    return [mine[0][:, order], mine[1][order], mine[2][order], mine[3]]


def slips(mine: list[Tensor], old: list[Tensor], R: Tensor) -> str:
    """Every tensor that is wrong, each with its likely reason."""
    close = lambda a, b: torch.allclose(a, b, atol=1e-5)
    if all(close(*pair) for pair in zip(mine, old)):
        return "nothing was rotated: what reads the stream and what writes to it must both change"
    if all(close(*pair) for pair in zip(mine, rotated_slowly(*old, R.T))):
        return "rotated by R.T, where the stream becomes resid @ R: exchange R and R.T everywhere"
    found = []
    for name, weight, was, right in zip(NAMES, mine, old, rotated_slowly(*old, R)):
        if not close(weight, right):
            reasons = (reason for reason, slip in ROTATED_WRONGLY[name].items() if close(weight, slip(was, R)))
            found.append(
                next(reasons, f"your {name} is wrong in another way: what does it read, and what does it write?")
            )
    return "; and ".join(found)


def rotation_case(seed: int) -> tuple[Tensor, ...]:
    """As many neurons as dimensions, so that R on a wrong side does not stop the code."""
    R = torch.linalg.qr(random_tensor(6, 6, seed=seed)).Q
    sizes = ((6, 6), (6,), (6, 6), (6,))
    return *(random_tensor(*size, seed=seed + i) for i, size in enumerate(sizes, start=1)), R
