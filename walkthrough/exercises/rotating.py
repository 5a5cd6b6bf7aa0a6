"""The judge of a rotated model: which of its weights are wrong, and why."""

import torch
from torch import Tensor

from walkthrough.exercises.summing import random_tensor

WRITING, READING = ("W_E", "W_pos", "W_O"), ("W_Q", "W_K", "W_V", "W_U")
NAMES = ("W_E", "W_pos", "W_Q", "W_K", "W_V", "W_O", "W_U")
POSITIONS = "it is added to what W_Q and W_K read, and these two now expect rotated vectors"
WRITTEN = "what is written rotates like the stream, by R on the right"
READ = "a matrix that reads must first rotate the stream back, by R.T on its left"
SLIPS = {  # what a slip makes of a weight, and what to say of it
    "writing": {
        "not rotated, but what it writes has to be: multiply by R on the right": lambda W, R: W,
        f"multiplied by R.T on the right, where R belongs: {WRITTEN}": lambda W, R: W @ R.T,
        f"multiplied by R on the left, which is not the stream's side: {WRITTEN}": lambda W, R: R @ W,
        f"multiplied by R.T on the left, as if it read: it writes, and {WRITTEN}": lambda W, R: R.T @ W,
        f"rotated on both sides: {WRITTEN}, and the other side is not the stream's": lambda W, R: R.T @ W @ R,
    },
    "reading": {
        f"not rotated: {READ}": lambda W, R: W,
        f"multiplied by R on the left, where R.T belongs: {READ}": lambda W, R: R @ W,
        f"multiplied by R on the right, as if it wrote: {READ}": lambda W, R: W @ R,
        f"multiplied by R.T on the right, which is not the stream's side: {READ}": lambda W, R: W @ R.T,
        f"rotated on both sides: {READ}, and the other side is not the stream's": lambda W, R: R.T @ W @ R,
    },
}


def rotated_slowly(weights: dict[str, Tensor], R: Tensor) -> dict[str, Tensor]:
    """One vector of the stream at a time: rows of what writes, columns of what reads."""
    turned = {}
    for name in NAMES:
        matrix = weights[name] if name in WRITING else weights[name].mT
        vectors = matrix.reshape(-1, len(R))
        rows = [[sum(x[i] * R[i, j] for i in range(len(R))).item() for j in range(len(R))] for x in vectors]
        whole = torch.tensor(rows).view(matrix.shape)
        turned[name] = whole if name in WRITING else whole.mT
    return turned


def judge_rotation(answer: object, weights: dict[str, Tensor], R: Tensor) -> str | None:
    """What is wrong with the rotated weights, in all of them; None if the model is the same on a rotated stream."""
    if not isinstance(answer, dict):
        return f"return a dictionary with the names {', '.join(NAMES)}, not a {type(answer).__name__}"
    if missing := [name for name in NAMES if name not in answer]:
        return f"your dictionary has no {' and no '.join(missing)}: give back all seven matrices"
    for name in NAMES:
        if not isinstance(answer[name], Tensor):
            return f"your {name} is not a tensor but of type {type(answer[name]).__name__}"
        if answer[name].shape != weights[name].shape:
            mine, asked = list(answer[name].shape), list(weights[name].shape)
            return f"wrong shape: your {name} is {mine}, it should be {asked}"
    mine = {name: answer[name].detach().to(R) for name in NAMES}
    if all(close(mine[name], right) for name, right in rotated_slowly(weights, R).items()):
        return None
    return slips(mine, weights, R)


def close(one: Tensor, other: Tensor) -> bool:
    """Equal up to what arithmetic in another order changes."""
    return torch.allclose(one, other, atol=1e-5)


def slips(mine: dict[str, Tensor], weights: dict[str, Tensor], R: Tensor) -> str:
    """Every matrix that is wrong, with its likely reason; those with the same reason are named together."""
    if all(close(mine[name], weights[name]) for name in NAMES):
        return "nothing was rotated: what reads the stream and what writes to it must both change"
    if all(close(mine[name], other) for name, other in rotated_slowly(weights, R.T).items()):
        return "rotated by R.T, where the stream becomes x @ R: exchange R and R.T everywhere"
    found: dict[str, list[str]] = {}
    for name, right in rotated_slowly(weights, R).items():
        if not close(mine[name], right):
            found.setdefault(reason(name, mine[name], weights[name], R), []).append(name)
    return "; and ".join(f"{' and '.join(names)}: {why}" for why, names in found.items())


def reason(name: str, mine: Tensor, was: Tensor, R: Tensor) -> str:
    """Why one matrix is wrong."""
    if name == "W_pos" and close(mine, was):
        return f"not rotated: {POSITIONS}"
    if name == "W_pos" and close(mine, R.T @ was):
        return f"multiplied by R.T on the left, as if it read: {POSITIONS}, so multiply by R on the right"
    known = SLIPS["writing" if name in WRITING else "reading"]
    named = (why for why, slip in known.items() if close(mine, slip(was, R)))
    return next(named, "wrong in another way: does it read the stream, or write to it?")


def rotation_case(seed: int) -> tuple[dict[str, Tensor], Tensor]:
    """As many tokens, positions and dimensions of a head as of the stream, so that R on a wrong side stops no code."""
    R = torch.linalg.qr(random_tensor(5, 5, seed=seed)).Q
    heads = {name: random_tensor(2, 3, 5, 5, seed=seed + i) for i, name in enumerate(("W_Q", "W_K", "W_V", "W_O"), 1)}
    ends = {name: random_tensor(5, 5, seed=seed + i) for i, name in enumerate(("W_E", "W_pos", "W_U"), 5)}
    return heads | ends, R
