"""The judge of exercise 8.2: prompts on which no head scores that looks by position alone."""

import torch
from torch import Tensor


def sizes() -> list[tuple]:
    """Vocabulary, length, number of prompts and seed: large enough batches, so that chance decides nothing."""
    return [(50, 12, 80, 0), (23, 22, 90, 1), (400, 15, 120, 2)]


def best_by_position(rows: Tensor, length: int) -> float:
    """What the best head scores that has one fixed place to look at for each position of the second half."""
    first, second = rows[:, 1 : length + 1], rows[:, length + 1 :]
    place = (first[:, :, None] == second[:, None]).int().argmax(1)  # [row position], where its token stood first
    shares = [place[:, i].bincount().max().item() / len(rows) for i in range(length)]
    return sum(shares) / length


def exposes(rows, d_vocab: int, length: int, batch: int, seed: int) -> str | None:
    """What is wrong with prompts that should expose heads which only look by position; None if nothing is."""
    if not isinstance(rows, Tensor):
        return f"your answer is of type {type(rows).__name__}: return a tensor of token ids"
    if rows.is_floating_point() or rows.dtype == torch.bool:
        return "token ids are whole numbers: make a tensor of integers"
    if tuple(rows.shape) != (batch, 1 + 2 * length):
        wanted = f"[{batch}, {1 + 2 * length}]: <BOS>, and twice {length} tokens"
        return f"wrong shape: yours is {list(rows.shape)}, it should be {wanted}"
    rows = rows.long()
    if (rows[:, 0] != 0).any():
        return "every prompt starts with <BOS>, token 0"
    if (rows[:, 1:] == 0).any():
        return "<BOS> (token 0) stands inside a prompt: draw from 1 on"
    if rows.min() < 0 or rows.max() >= d_vocab:
        return f"a token id is outside the vocabulary: they go from 1 to {d_vocab - 1}"
    first, second = rows[:, 1 : length + 1], rows[:, length + 1 :]
    if any(len(set(row)) < length for row in first.tolist()):
        return "some token stands twice in a first half: draw different ones, so that each has one place to be found at"
    if (first.sort(1).values != second.sort(1).values).any():
        return "the second half must hold the very tokens of the first"
    return _order(rows, length) or _tokens(first, d_vocab)


def _order(rows: Tensor, length: int) -> str | None:
    """What is wrong with the orders of the second halves."""
    first, second = rows[:, 1 : length + 1], rows[:, length + 1 :]
    if (first == second).all():
        return f"the same order twice: a head that always looks {length - 1} back still finds every follower"
    if (first == second.flip(1)).all():
        return "backwards in every row: a head that knows for each position where to look still finds every follower"
    if best_by_position(rows, length) > 0.6:
        return (
            "the rows are shuffled alike: a head that knows for each position where to look scores "
            f"{best_by_position(rows, length):.2f}; draw a new order for each row"
        )
    return None


def _tokens(first: Tensor, d_vocab: int) -> str | None:
    """What is wrong with the tokens of the first halves."""
    missing = sorted(set(range(1, d_vocab)) - set(first.flatten().tolist()))
    if (first.sort(1).values == first[0].sort().values).all() and first.shape[1] < d_vocab - 1:
        return "every row holds the same tokens: draw new ones for each row"
    if len(missing) > 0.5 * d_vocab:
        return "the tokens come from a part of the vocabulary only: draw from all of it but <BOS>"
    if d_vocab <= 50 and missing:  # by chance, in batches of this size, never
        return f"token {missing[0]} never comes: draw from 1 to {d_vocab - 1}, both included"
    if (first == first.sort(1).values).all():
        return "the first half is in order of the ids: shuffle it as well, for these should be random tokens"
    return None
