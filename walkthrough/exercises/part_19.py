"""The exercises of notebook 19: small edits, predicted prompts, cuts by use, tests of an explanation, false discoveries."""

import torch
from torch import Tensor

from walkthrough.exercises import swapping
from walkthrough.exercises.exercise import Exercise
from walkthrough.exercises.pulling import noise

# 19.1 the cheapest change


def second_moment(size: int, seed: int) -> Tensor:
    """Of streams that are long in some directions and short in others."""
    x = noise(50, size, seed=seed) * torch.linspace(0.3, 2, size) + torch.linspace(-1, 1, size)
    return x.T @ x / len(x)


def entries() -> list[tuple]:
    """A stream, what reads a logit, how much is to change, and the second moment of the streams in texts."""
    return [
        (noise(4), noise(4, seed=1) * 2, -1.5, second_moment(4, 2)),
        (noise(5, seed=3) / 3, noise(5, seed=4), 0.7, second_moment(5, 5)),
    ]


def slow_change(stream: Tensor, read: Tensor, change: float, moment: Tensor) -> Tensor:
    """All entries at once: the equations of a least square under one condition, with its Lagrange multiplier."""
    n, m = len(stream), len(read)
    condition = torch.outer(stream, read).flatten().double()
    squares = torch.kron(moment.double(), torch.eye(m, dtype=torch.float64))
    system = torch.zeros(n * m + 1, n * m + 1, dtype=torch.float64)
    system[:-1, :-1], system[:-1, -1], system[-1, :-1] = squares, condition, condition
    wanted = torch.zeros(n * m + 1, dtype=torch.float64)
    wanted[-1] = change
    return torch.linalg.solve(system, wanted)[:-1].view(n, m)


def rank_one(left: Tensor, right: Tensor, stream: Tensor, read: Tensor, change: float) -> Tensor:
    """The outer product, scaled so that the entry changes as wanted."""
    return change * torch.outer(left, right) / ((stream @ left) * (read @ right))


CHANGE_MISTAKES = {
    "that is the least change of the matrix itself: the moment says how much it adds to the streams of texts":
        lambda s, r, c, M: rank_one(s, r, s, r, c),
    "the edit should AVOID directions in which texts have much: solve with the moment, do not multiply by it":
        lambda s, r, c, M: rank_one(M @ s, r, s, r, c),
    "the outer product is not scaled yet: `stream @ D @ read` must be `change`":
        lambda s, r, c, M: torch.outer(torch.linalg.solve(M, s), r),
    "scale by what the change reaches, `stream @ left`, where `left` is the solution: not by `stream @ stream`":
        lambda s, r, c, M: c * torch.outer(torch.linalg.solve(M, s), r) / ((s @ s) * (r @ r)),
    "`read` has not length 1: divide by `read @ read` as well":
        lambda s, r, c, M: c * torch.outer(torch.linalg.solve(M, s), r) / (s @ torch.linalg.solve(M, s)),
    "the moment is of what is READ: it belongs to the stream's side, not to the logit's":
        lambda s, r, c, M: rank_one(s, torch.linalg.solve(M, r), s, r, c),
    "the moment belongs to the stream's side alone: what is written counts the same in all directions":
        lambda s, r, c, M: rank_one(torch.linalg.solve(M, s), torch.linalg.solve(M, r), s, r, c),
}  # fmt: skip

# 19.2 a prompt that hijacks


def prompts() -> list[tuple]:
    """A prompt, the wrong token, how many of the last tokens are to match, and how many places there are to fill."""
    one = torch.tensor([0, 31, 17, 44, 8, 26, 13, 52])
    return [(one, 99, 1, 7), (one, 71, 2, 8), (one.flip(0), 99, 3, 9)]


def slow_filling(prompt: Tensor, wrong: int, n_match: int, n_slots: int) -> Tensor:
    """From the last place to the first."""
    row, back = [], 0
    for _ in range(n_slots):
        row.insert(0, wrong if back == 0 else int(prompt[-back]))
        back = 0 if back == n_match else back + 1
    return torch.tensor(row)


def again(pattern: Tensor, n_slots: int, *, from_front: bool = False) -> Tensor:
    """A pattern again and again, cut at the front or at the end."""
    row = pattern.repeat(n_slots)
    return row[:n_slots] if from_front else row[len(row) - n_slots :]


def with_wrong(tokens: Tensor, wrong: int, *, first: bool = False) -> Tensor:
    """Some tokens and the wrong one, behind or before them."""
    last = torch.tensor([wrong])
    return torch.cat([last, tokens] if first else [tokens, last])


FILLING_MISTAKES = {
    "the wrong token must FOLLOW the copies of the last tokens: an induction head says what came after them":
        lambda p, w, n, k: again(with_wrong(p[-n:], w, first=True), k),
    "what does not fit is cut off at the FRONT: the row ends with the wrong token":
        lambda p, w, n, k: again(with_wrong(p[-n:], w), k, from_front=True),
    "those are the prompt's FIRST tokens: the head looks for what stands at the end":
        lambda p, w, n, k: again(with_wrong(p[:n], w), k),
    "the last tokens keep their order: the very last one stands right before the wrong token":
        lambda p, w, n, k: again(with_wrong(p[-n:].flip(0), w), k),
    "the wrong token alone is no match: copies of the prompt's last tokens stand before it":
        lambda p, w, n, k: torch.full((k,), w),
    "only the last token is repeated: the last `n_match` of them are asked for":
        lambda p, w, n, k: again(with_wrong(p[-1:], w), k),
    "that is once: fill ALL places by the same few tokens, again and again":
        lambda p, w, n, k: torch.cat([p[: k - n - 1], p[-n:], torch.tensor([w])]),
}  # fmt: skip

# 19.3 a cut by what is read


def maps() -> list[tuple]:
    """A matrix, the second moment of what it reads, and how many ranks to keep."""
    return [(noise(5, 4), second_moment(5, 1), 2), (noise(6, 6, seed=3), second_moment(6, 4), 3)]


def slow_cut(W: Tensor, moment: Tensor, keep: int) -> Tensor:
    """By the moment's square root, the singular value decomposition, and the root's inverse."""
    values, vectors = torch.linalg.eigh(moment.double())
    root = vectors @ values.sqrt().diag() @ vectors.T
    U, S, Vh = torch.linalg.svd(root @ W.double())
    return torch.linalg.inv(root) @ U[:, :keep] @ S[:keep].diag() @ Vh[:keep]


def weighed(W: Tensor, weight: Tensor, keep: int, *, undo: bool = True, ends: slice | None = None) -> Tensor:
    """A cut of weight @ W to some of its singular values, and the weight undone."""
    U, S, Vh = torch.linalg.svd(weight @ W, full_matrices=False)
    ends = ends or slice(keep)
    cut = U[:, ends] * S[ends] @ Vh[ends]
    return torch.linalg.solve(weight, cut) if undo else cut


def most_read(W: Tensor, moment: Tensor, keep: int) -> Tensor:
    """The map of what lies in the directions in which texts have most."""
    directions = torch.linalg.eigh(moment).eigenvectors[:, -keep:]
    return directions @ directions.T @ W


def root_of(moment: Tensor) -> Tensor:
    """The upper triangle R with R^T R = moment."""
    return torch.linalg.cholesky(moment, upper=True)


CUT_MISTAKES = {
    "that is the plain SVD: it does not know what is read":
        lambda W, M, k: weighed(W, torch.eye(len(W)), k),
    "weigh by a square ROOT of the moment: squares of lengths are what the moment has":
        lambda W, M, k: weighed(W, M, k),
    "the answer is to be a map like W: undo the weighing after the cut":
        lambda W, M, k: weighed(W, root_of(M), k, undo=False),
    "those are the SMALLEST ranks: `eigh` sorts upwards, `svd` downwards":
        lambda W, M, k: weighed(W, root_of(M), k, ends=slice(-k, None)),
    "those are the directions in which texts have most: how strongly W maps them counts as well":
        most_read,
}  # fmt: skip

# 19.4 necessary and sufficient: see `swapping`

# 19.5 false discoveries


def findings() -> list[tuple]:
    """Scores in no order, and which of the terms runs bear out."""
    some = torch.tensor([0.31, 2.4, 0.07, 1.1, 0.9, 0.55, 3.2])
    return [
        (some, torch.tensor([False, True, False, False, True, False, True])),
        (some.flip(0)[:5] ** 2, torch.tensor([True, True, False, True, False])),
    ]


def slow_false(scores: Tensor, real: Tensor) -> Tensor:
    """For each length of the list, by counting anew."""
    pairs = sorted(zip(scores.tolist(), real.tolist()), reverse=True)
    return torch.tensor([sum(not held for _, held in pairs[:n]) / n for n in range(1, len(pairs) + 1)])


def false_in_order(scores: Tensor, real: Tensor, *, descending: bool = True) -> Tensor:
    """1 for each false term, from one end of the scores to the other."""
    return (~real[scores.argsort(descending=descending)]).float()


def counted(scores: Tensor) -> Tensor:
    """1, 2, 3 and so on."""
    return torch.arange(1, len(scores) + 1)


FALSE_MISTAKES = {
    "sort by the score first: the list begins with the highest":
        lambda s, r: (~r).float().cumsum(0) / counted(s),
    "the list begins with the HIGHEST score":
        lambda s, r: false_in_order(s, r, descending=False).cumsum(0) / counted(s),
    "that is the share of the terms that hold: the false ones are asked for":
        lambda s, r: 1 - false_in_order(s, r).cumsum(0) / counted(s),
    "those are numbers of false terms: divide by how many terms there are so far":
        lambda s, r: false_in_order(s, r).cumsum(0),
    "divide by how many terms there are SO FAR, not by the length of the whole list":
        lambda s, r: false_in_order(s, r).cumsum(0) / len(s),
    "that is the share of all false terms that have come so far: divide by the number of TERMS so far":
        lambda s, r: false_in_order(s, r).cumsum(0) / (~r).sum(),
}  # fmt: skip


EXERCISES: dict[str, Exercise] = {
    "19.1": Exercise(entries, slow_change, CHANGE_MISTAKES),
    "19.2": Exercise(prompts, slow_filling, FILLING_MISTAKES),
    "19.3": Exercise(maps, slow_cut, CUT_MISTAKES),
    "19.4": Exercise(swapping.swaps, swapping.slow_swaps, swapping.SWAP_MISTAKES),
    "19.5": Exercise(findings, slow_false, FALSE_MISTAKES),
}
