"""The exercises of notebook 05."""

import torch
from torch import Tensor

from walkthrough.exercises.exercise import Exercise


def draw(seed: int, *shapes: tuple[int, ...]) -> tuple[Tensor, ...]:
    """Random matrices without symmetries."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(shape, generator=generator) for shape in shapes)


# 5.1 eigenvalue positivity


def random_heads() -> list[tuple]:
    """W_E, W_V, W_O and W_U of heads of a small model; the first d_model differs from d_vocab, some eigenvalues complex."""
    return [
        draw(seed, (n, d_model), (d_model, d_head), (d_head, d_model), (d_model, n))
        for seed, (n, d_model, d_head) in enumerate([(12, 8, 3), (9, 7, 4), (15, 6, 5)])
    ]


def slow_positivity(W_E: Tensor, W_V: Tensor, W_O: Tensor, W_U: Tensor) -> Tensor:
    """From all eigenvalues of the circuit written out, most of which are zero."""
    eigenvalues = torch.linalg.eigvals((W_E.double() @ W_V.double()) @ (W_O.double() @ W_U.double()))
    return (eigenvalues.real / eigenvalues.abs().sum()).sum()


def spectrum(W_E: Tensor, W_V: Tensor, W_O: Tensor, W_U: Tensor) -> Tensor:
    """The eigenvalues that are not zero."""
    return torch.linalg.eigvals(W_O.double() @ W_U.double() @ W_E.double() @ W_V.double())


POSITIVITY_MISTAKES = {
    "that is the sum of the eigenvalues, the trace: divide it by the sum of their sizes":
        lambda *w: spectrum(*w).sum().real,
    "the sizes come first, then the sum: you divided the sum by its own size, and that is only a sign":
        lambda *w: spectrum(*w).sum().real.sign(),
    "the size of a complex number is not that of its real part: use .abs() on the eigenvalues themselves":
        lambda *w: spectrum(*w).real.sum() / spectrum(*w).real.abs().sum(),
    "those are singular values below the line: they are not the sizes of the eigenvalues":
        lambda e, v, o, u: (e @ v @ o @ u).trace() / torch.linalg.svdvals(e @ v @ o @ u).sum(),
    "W_V W_O alone says nothing of tokens: put W_E before it and W_U after it":
        lambda e, v, o, u: slow_positivity(torch.eye(len(v)), v, o, torch.eye(len(v))),
    "that is the share of eigenvalues with a positive real part: weigh each by its size":
        lambda *w: (spectrum(*w).real > 0).double().mean(),
    "those are entries of the diagonal: it has the same sum as the eigenvalues, but not the same sizes":
        lambda e, v, o, u: (e @ v @ o @ u).trace() / (e @ v @ o @ u).diagonal().abs().sum(),
    "below the line is the root of the sum of squares: add the sizes themselves":
        lambda *w: spectrum(*w).sum().real / spectrum(*w).abs().square().sum().sqrt(),
    "above the line sizes were added too, or singular values: that is always 1, so add eigenvalues with their signs":
        lambda *w: torch.tensor(1.0),
}  # fmt: skip


# 5.2 positive eigenvalues, and no copying


def judge_positive_but_not_copying(answer, *_) -> str | None:
    """Square, real positive eigenvalues, and a token that lowers its own logit."""
    try:
        matrix = torch.as_tensor(answer).detach().double()
    except (TypeError, ValueError, RuntimeError):
        return f"a matrix was expected, and your answer is of type {type(answer).__name__}"
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        return f"a square matrix was expected: the shape of yours is {list(matrix.shape)}"
    if not matrix.isfinite().all():
        return "your matrix holds nan or infinity"
    eigenvalues = torch.linalg.eigvals(matrix)
    tolerance = 1e-6 * matrix.abs().max()
    if (eigenvalues.imag.abs() > tolerance).any():
        return f"some eigenvalues are complex, {eigenvalues[eigenvalues.imag.abs().argmax()].item():.3g} among them"
    if (eigenvalues.real <= tolerance).any():
        return f"not all eigenvalues are positive: the smallest is {eigenvalues.real.min().item():.3g}"
    if (matrix.diagonal() >= -tolerance).all():
        lowest = matrix.diagonal().min().item()
        return f"no token lowers its own logit: the lowest entry of your diagonal is {lowest:.3g}, make one negative"
    return None


# 5.3 surprise


def heads_and_orders() -> list[tuple]:
    """Factors A and B with a large constant in every row of the product, and shuffles of its columns."""
    cases = []
    for seed, (n, d_head, n_orders) in enumerate([(20, 4, 12), (30, 5, 9)]):
        A, B, common = draw(seed, (n, d_head), (d_head, n), (d_head, 1))
        generator = torch.Generator().manual_seed(seed)
        orders = torch.stack([torch.randperm(n, generator=generator) for _ in range(n_orders)])
        cases.append((A, A.T + 0.7 * B + 2 * common, orders))
    return cases


def positivities(
    A: Tensor, B: Tensor, orders: Tensor, centre: bool = True, both: bool = False
) -> tuple[Tensor, Tensor]:
    """That of the head, and that of each shuffle, from the matrices written out."""
    whole = A.double() @ B.double()
    if centre:
        whole = whole - whole.mean(1, keepdim=True)
    score = lambda m: torch.linalg.eigvals(m).sum().real / torch.linalg.eigvals(m).abs().sum()
    shuffled = [score(whole[order][:, order] if both else whole[:, order]) for order in orders]
    return score(whole), torch.stack(shuffled)


def slow_surprise(A: Tensor, B: Tensor, orders: Tensor) -> Tensor:
    """Distance from the mean of the shuffles, in their standard deviations."""
    own, shuffled = positivities(A, B, orders)
    mean = sum(shuffled) / len(shuffled)
    return (own - mean) / (sum((x - mean) ** 2 for x in shuffled) / (len(shuffled) - 1)) ** 0.5


def other_surprise(divide, own: Tensor, shuffled: Tensor) -> Tensor:
    """The same with another number below the line."""
    return (own - shuffled.mean()) / divide(shuffled)


SURPRISE_MISTAKES = {
    "the constant in each row was left in: take the mean of each row of the circuit away, as `centred` does":
        lambda a, b, o: other_surprise(Tensor.std, *positivities(a, b, o, centre=False)),
    "divided by the variance: a distance counts in standard deviations":
        lambda a, b, o: other_surprise(Tensor.var, *positivities(a, b, o)),
    "divided by the standard error of the mean: one head is to be compared with single shuffles, not with their mean":
        lambda a, b, o: other_surprise(lambda x: x.std() / len(x) ** 0.5, *positivities(a, b, o)),
    "standard deviation of n in place of n − 1: the shuffles are a sample, so use .std() as it is":
        lambda a, b, o: other_surprise(lambda x: x.std(unbiased=False), *positivities(a, b, o)),
    "that is the distance from the mean of the shuffles: divide it by their standard deviation":
        lambda a, b, o: other_surprise(lambda x: 1.0, *positivities(a, b, o)),
    "the mean of the shuffles was not taken away":
        lambda a, b, o: positivities(a, b, o)[0] / positivities(a, b, o)[1].std(),
    "that is the share of shuffles below the head: count in standard deviations instead":
        lambda a, b, o: (positivities(a, b, o)[1] < positivities(a, b, o)[0]).double().mean(),
    "the rows were shuffled: give B's columns another order, B[:, order]":
        lambda a, b, o: other_surprise(Tensor.std, *positivities(a, b, o.argsort(-1))),
}  # fmt: skip


EXERCISES: dict[str, Exercise] = {
    "5.1": Exercise(random_heads, slow_positivity, POSITIVITY_MISTAKES),
    "5.2": Exercise(lambda: [()], judge=judge_positive_but_not_copying),
    "5.3": Exercise(heads_and_orders, slow_surprise, SURPRISE_MISTAKES),
}
