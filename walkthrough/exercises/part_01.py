"""The exercises of notebook 01."""

import torch
from torch import Tensor

from walkthrough.exercises.exercise import Exercise


def random_tensor(*shape: int, seed: int) -> Tensor:
    """Random numbers without symmetries."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def difference_slowly(parts: Tensor, W_U: Tensor, answer: int, rival: int) -> list[float]:
    """One product at a time."""
    logit = lambda vector, token: sum(vector[i].item() * W_U[i, token].item() for i in range(len(vector)))
    return [logit(part[-1], answer) - logit(part[-1], rival) for part in parts]


def above_mean(parts: Tensor, W_U: Tensor, answer: int, rival: int) -> Tensor:
    """Parts of the answer's logit, measured from the mean over the vocabulary."""
    return (parts[:, -1] @ (W_U - W_U.mean(-1, keepdim=True)))[:, answer]


def after_softmax(parts: Tensor, W_U: Tensor, answer: int, rival: int) -> Tensor:
    """Probabilities that each part alone would give, subtracted."""
    probs = (parts[:, -1] @ W_U).softmax(-1)
    return probs[:, answer] - probs[:, rival]


DIFFERENCE_MISTAKES = {
    "that is the logit of `answer` alone: subtract the logit of `rival`":
        lambda parts, W_U, answer, rival: parts[:, -1] @ W_U[:, answer],
    "that is the logit of `answer` above the mean of all tokens: subtract the logit of `rival` instead":
        above_mean,
    "that is the first position, <BOS>: the next token is predicted at the last one":
        lambda parts, W_U, answer, rival: parts[:, 0] @ (W_U[:, answer] - W_U[:, rival]),
    "that is the sum over positions: only the last one predicts the next token":
        lambda parts, W_U, answer, rival: parts.sum(1) @ (W_U[:, answer] - W_U[:, rival]),
    "every position has its own answer: keep the last one only":
        lambda parts, W_U, answer, rival: parts @ (W_U[:, answer] - W_U[:, rival]),
    "you summed over the parts: keep one number for each of them":
        lambda parts, W_U, answer, rival: parts[:, -1].sum(0) @ (W_U[:, answer] - W_U[:, rival]),
    "probabilities do not add up over parts: leave out the softmax":
        after_softmax,
}  # fmt: skip


def mlp_output(resid: Tensor, W_in: Tensor, b_in: Tensor, W_out: Tensor, b_out: Tensor) -> Tensor:
    """What a layer of neurons adds to the stream."""
    return (resid @ W_in + b_in).relu() @ W_out + b_out


TURNING_MISTAKES = {
    "nothing was turned: what reads the stream and what writes to it must both change":
        lambda W_in, b_in, W_out, b_out, R: (W_in, b_in, W_out, b_out),
    "turned by R.T, where the stream becomes resid @ R: exchange R and R.T everywhere":
        lambda W_in, b_in, W_out, b_out, R: (R @ W_in, b_in, W_out @ R.T, b_out @ R.T),
    "R is transposed on the reading side: W_in must first turn the stream back, by R.T on its left":
        lambda W_in, b_in, W_out, b_out, R: (R @ W_in, b_in, W_out @ R, b_out @ R),
    "R is transposed on the writing side: what is written turns like the stream, by R on its right":
        lambda W_in, b_in, W_out, b_out, R: (R.T @ W_in, b_in, W_out @ R.T, b_out @ R.T),
    "R is on the wrong side of W_in: that would turn the neurons, and relu would not survive it":
        lambda W_in, b_in, W_out, b_out, R: (W_in @ R, b_in, W_out @ R, b_out @ R),
    "W_in is not turned: it reads the stream, so it must first turn it back":
        lambda W_in, b_in, W_out, b_out, R: (W_in, b_in, W_out @ R, b_out @ R),
    "W_out is not turned: it writes to the stream":
        lambda W_in, b_in, W_out, b_out, R: (R.T @ W_in, b_in, W_out, b_out @ R),
    "b_out is not turned: it is added to the stream, as what W_out writes is":
        lambda W_in, b_in, W_out, b_out, R: (R.T @ W_in, b_in, W_out @ R, b_out),
    "b_in was turned: it is added to the neurons, which stay as they are":
        lambda W_in, b_in, W_out, b_out, R: (R.T @ W_in, b_in @ R, W_out @ R, b_out @ R),
}  # fmt: skip


def judge_turn(answer: object, W_in: Tensor, b_in: Tensor, W_out: Tensor, b_out: Tensor, R: Tensor) -> str | None:
    """What is wrong with the turned weights, judged by what the layer does with a turned stream."""
    given = (W_in, b_in, W_out, b_out)
    if not isinstance(answer, (tuple, list)) or len(answer) != 4:
        return "return four tensors: W_in, b_in, W_out and b_out, in this order"
    for name, mine, old in zip(("W_in", "b_in", "W_out", "b_out"), answer, given):
        if not isinstance(mine, Tensor):
            return f"your {name} is not a tensor but of type {type(mine).__name__}"
        if mine.shape != old.shape:
            return f"wrong shape: your {name} is {list(mine.shape)}, it should be {list(old.shape)}"
    resid = random_tensor(20, len(W_in), seed=9)
    does = lambda weights: mlp_output(resid @ R, *(weight.to(R) for weight in weights))
    if torch.allclose(does(answer), mlp_output(resid, *given) @ R, atol=1e-4):
        return None
    for sentence, mistake in TURNING_MISTAKES.items():
        if torch.allclose(does(answer), does(mistake(*given, R)), atol=1e-4):
            return sentence
    return "the turned layer does not do to resid @ R what the old one does to resid: compare them on random vectors"


def turning_case(seed: int) -> tuple[Tensor, ...]:
    """As many neurons as dimensions, so that R on a wrong side does not stop the code."""
    R = torch.linalg.qr(random_tensor(6, 6, seed=seed)).Q
    return (
        random_tensor(6, 6, seed=seed + 1),
        random_tensor(6, seed=seed + 2),
        random_tensor(6, 6, seed=seed + 3),
        random_tensor(6, seed=seed + 4),
        R,
    )


def strength_slowly(W_O: Tensor, W_in: Tensor) -> Tensor:
    """One pair of heads at a time, with norms added up entry by entry."""
    size = lambda W: sum(entry.item() ** 2 for entry in W.flatten()) ** 0.5
    return torch.tensor([[size(out @ into) / (size(out) * size(into)) for into in W_in] for out in W_O])


def both_sizes(W_O: Tensor, W_in: Tensor) -> Tensor:
    """Product of the two Frobenius norms, for each pair of heads."""
    return W_O.norm(dim=(1, 2))[:, None] * W_in.norm(dim=(1, 2))


WIRE_MISTAKES = {
    "wrong order: W_in @ W_O is d_model × d_model and has another norm; the wire is W_O @ W_in":
        lambda W_O, W_in: (W_in @ W_O[:, None]).norm(dim=(-1, -2)) / both_sizes(W_O, W_in),
    "transposed: rows are the heads that write, columns those that read":
        lambda W_O, W_in: strength_slowly(W_O, W_in).T,
    "divide by the sizes of W_O and W_in":
        lambda W_O, W_in: (W_O[:, None] @ W_in).norm(dim=(-1, -2)),
    "that is the squared norm: take the root":
        lambda W_O, W_in: strength_slowly(W_O, W_in) ** 2,
    "that is the largest singular value: the Frobenius norm is the root of the sum of all their squares":
        lambda W_O, W_in: torch.linalg.matrix_norm(W_O[:, None] @ W_in, ord=2) / both_sizes(W_O, W_in),
    "only head i with head i: every head that writes can be read by every head":
        lambda W_O, W_in: strength_slowly(W_O, W_in).diagonal(),
}  # fmt: skip


def share_slowly(resid: Tensor, W_in: Tensor) -> Tensor:
    """Gram and Schmidt: make the columns orthonormal one at a time."""
    basis: list[Tensor] = []
    for column in W_in.double().T:
        for direction in basis:
            column = column - (column @ direction) * direction
        basis.append(column / column.norm())
    return torch.stack([sum((x @ b) ** 2 for b in basis) / (x @ x) for x in resid.double()])


SHARE_MISTAKES = {
    "the columns of W_in are not orthonormal: that measures how much W_in stretches as well":
        lambda resid, W_in: (resid @ W_in).square().sum(-1) / resid.square().sum(-1),
    "of length one, but not at right angles: columns that overlap are counted twice":
        lambda resid, W_in: (resid @ (W_in / W_in.norm(dim=0))).square().sum(-1) / resid.square().sum(-1),
    "that is the share of the length: square it":
        lambda resid, W_in: share_slowly(resid, W_in).sqrt(),
    "that is the share which the head can not see":
        lambda resid, W_in: 1 - share_slowly(resid, W_in),
    "that is a squared length, not yet a share: divide by that of the whole vector":
        lambda resid, W_in: share_slowly(resid, W_in) * resid.square().sum(-1),
    "keep one number for each position":
        lambda resid, W_in: share_slowly(resid, W_in).mean(),
}  # fmt: skip

EXERCISES: dict[str, Exercise] = {
    "1.1": Exercise(
        cases=lambda: [
            (random_tensor(4, 5, 6, seed=0), random_tensor(6, 9, seed=1), 7, 2),
            (random_tensor(3, 2, 5, seed=2), random_tensor(5, 8, seed=3), 0, 4),
        ],
        oracle=difference_slowly,
        mistakes=DIFFERENCE_MISTAKES,
    ),
    "1.2": Exercise(cases=lambda: [turning_case(10), turning_case(20)], judge=judge_turn),
    "1.3": Exercise(
        cases=lambda: [
            (random_tensor(3, 2, 7, seed=0), random_tensor(3, 7, 2, seed=1)),
            (random_tensor(4, 3, 6, seed=2), random_tensor(4, 6, 3, seed=3)),
        ],
        oracle=strength_slowly,
        mistakes=WIRE_MISTAKES,
    ),
    "1.4": Exercise(
        cases=lambda: [
            (random_tensor(5, 8, seed=0), random_tensor(8, 3, seed=1)),
            (random_tensor(4, 6, seed=2), random_tensor(6, 2, seed=3)),
        ],
        oracle=share_slowly,
        mistakes=SHARE_MISTAKES,
    ),
}
