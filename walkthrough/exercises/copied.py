"""Exercises 5.1, 5.3 and 5.5: how much a head copies, by its eigenvalues, against shuffles, and where it looks."""

import torch
from torch import Tensor

from walkthrough.exercises.limits import WIDE, small_only, wide


def draw(seed: int, *shapes: tuple[int, ...]) -> tuple[Tensor, ...]:
    """Random matrices without symmetries."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(shape, generator=generator) for shape in shapes)


def factored(A: Tensor, B: Tensor):
    """A table in the form that the course's circuits have."""
    from transformer_lens import FactoredMatrix

    return FactoredMatrix(A, B)


# 5.1 eigenvalue positivity


def random_circuits() -> list[tuple]:
    """Circuits of several sizes; some of their eigenvalues are complex, and sums have either sign."""
    shapes = [(12, 3), (9, 4), (15, 6), (10, 5)]
    return [(factored(*draw(seed, (n, d_head), (d_head, n))),) for seed, (n, d_head) in enumerate(shapes)]


def slow_positivity(circuit) -> Tensor:
    """From all eigenvalues of the circuit written out, most of which are zero."""
    eigenvalues = torch.linalg.eigvals(circuit.A.double() @ circuit.B.double())
    return (eigenvalues.real / eigenvalues.abs().sum()).sum()


def spectrum(circuit) -> Tensor:
    """The eigenvalues that are not zero."""
    return torch.linalg.eigvals(circuit.B.double() @ circuit.A.double())


POSITIVITY_MISTAKES = {
    "that is the sum of the eigenvalues, the trace: divide it by the sum of their sizes":
        lambda c: spectrum(c).sum().real,
    "that is the sum of the sizes alone: it stands below the line":
        lambda c: spectrum(c).abs().sum(),
    "the sizes come first, then the sum: you divided the sum by its own size, and that is only a sign":
        lambda c: spectrum(c).sum().real.sign(),
    "the size of a complex number is not that of its real part: use .abs() on the eigenvalues themselves":
        lambda c: spectrum(c).real.sum() / spectrum(c).real.abs().sum(),
    "those are singular values below the line: they are not the sizes of the eigenvalues":
        lambda c: c.AB.trace() / torch.linalg.svdvals(c.AB).sum(),
    "that is the share of eigenvalues with a positive real part: weigh each by its size":
        lambda c: (spectrum(c).real > 0).double().mean(),
    "each eigenvalue was divided by its own size, so that all count alike: divide the sum by the sum of the sizes":
        lambda c: (spectrum(c) / spectrum(c).abs()).real.mean(),
    "those are entries of the diagonal: it has the same sum as the eigenvalues, but not the same sizes":
        lambda c: c.AB.trace() / c.AB.diagonal().abs().sum(),
    "those are entries of the diagonal of B A: it has the same sum as the eigenvalues, but not the same sizes":
        lambda c: (c.B @ c.A).trace() / (c.B @ c.A).diagonal().abs().sum(),
    "below the line is the root of the sum of squares: add the sizes themselves":
        lambda c: spectrum(c).sum().real / spectrum(c).abs().square().sum().sqrt(),
    "above the line sizes were added too, or singular values: that is always 1, so add eigenvalues with their signs":
        lambda c: torch.tensor(1.0),
    "eigvalsh is for symmetric matrices, and this one is not: use torch.linalg.eigvals":
        lambda c: torch.linalg.eigvalsh(c.B @ c.A).sum() / torch.linalg.eigvalsh(c.B @ c.A).abs().sum(),
}  # fmt: skip


def no_whole_table(attempt):
    """The limit of 5.1: no table of d_vocab rows and columns."""
    table = "right, but it makes the whole table, d_vocab × d_vocab: B A has the same eigenvalues"
    return small_only(table, factored(wide(WIDE, 1), wide(1, WIDE)))(attempt)


# 5.3 surprise


def circuits_and_orders() -> list[tuple]:
    """Circuits with a large constant in every row, and shuffles of their columns."""
    cases = []
    for seed, (n, d_head, n_orders) in enumerate([(20, 4, 12), (30, 5, 9)]):
        A, B, common = draw(seed, (n, d_head), (d_head, n), (d_head, 1))
        generator = torch.Generator().manual_seed(seed)
        orders = torch.stack([torch.randperm(n, generator=generator) for _ in range(n_orders)])
        cases.append((factored(A, A.T + 0.7 * B + 2 * common), orders))
    return cases


def positivities(circuit, orders: Tensor, centre: bool = True) -> tuple[Tensor, Tensor]:
    """That of the head, and that of each shuffle, from the matrices written out; rows centred or not."""
    whole = circuit.A.double() @ circuit.B.double()
    if centre:
        whole = whole - whole.mean(1, keepdim=True)
    score = lambda m: torch.linalg.eigvals(m).sum().real / torch.linalg.eigvals(m).abs().sum()
    return score(whole), torch.stack([score(whole[:, order]) for order in orders])


def slow_surprise(circuit, orders: Tensor) -> Tensor:
    """Distance from the mean of the shuffles, in their standard deviations."""
    own, shuffled = positivities(circuit, orders)
    mean = sum(shuffled) / len(shuffled)
    return (own - mean) / (sum((x - mean) ** 2 for x in shuffled) / (len(shuffled) - 1)) ** 0.5


def other_surprise(divide, own: Tensor, shuffled: Tensor) -> Tensor:
    """The same with another number below the line."""
    return (own - shuffled.mean()) / divide(shuffled)


def half_centred(circuit, orders: Tensor) -> Tensor:
    """The head centred, its shuffles not."""
    null = positivities(circuit, orders, False)[1]
    return (positivities(circuit, orders)[0] - null.mean()) / null.std()


SURPRISE_MISTAKES = {
    "the constant in each row was left in: take the mean of each row of the circuit away, as `centred` does":
        lambda c, o: other_surprise(Tensor.std, *positivities(c, o, False)),
    "the head was centred and its shuffles were not: shuffle the centred circuit":
        half_centred,
    "divided by the variance: a distance counts in standard deviations":
        lambda c, o: other_surprise(Tensor.var, *positivities(c, o)),
    "divided by the standard error of the mean: one head is to be compared with single shuffles, not with their mean":
        lambda c, o: other_surprise(lambda x: x.std() / len(x) ** 0.5, *positivities(c, o)),
    "standard deviation of n in place of n − 1: the shuffles are a sample, so use .std() as it is":
        lambda c, o: other_surprise(lambda x: x.std(unbiased=False), *positivities(c, o)),
    "that is the distance from the mean of the shuffles: divide it by their standard deviation":
        lambda c, o: other_surprise(lambda x: 1.0, *positivities(c, o)),
    "the mean of the shuffles was not taken away":
        lambda c, o: positivities(c, o)[0] / positivities(c, o)[1].std(),
    "that is the share of shuffles below the head: count in standard deviations instead":
        lambda c, o: (positivities(c, o)[1] < positivities(c, o)[0]).double().mean(),
    "the rows were shuffled: give B's columns another order, B[:, order]":
        lambda c, o: other_surprise(Tensor.std, *positivities(c, o.argsort(-1))),
}  # fmt: skip


# 5.5 what a head adds to the tokens that it looks at


def patterns_tokens_and_own() -> list[tuple]:
    """Causal patterns, prompts that start with <BOS> and repeat tokens, and an own logit for each token."""
    cases = []
    for seed, (batch, n_pos, d_vocab) in enumerate([(3, 5, 9), (2, 7, 6)]):
        scores, own = draw(seed, (batch, n_pos, n_pos), (d_vocab,))
        future = torch.ones(n_pos, n_pos).triu(1).bool()
        tokens = torch.randint(1, d_vocab, (batch, n_pos), generator=torch.Generator().manual_seed(seed))
        tokens[:, 0] = 0
        cases.append(((2 * scores).masked_fill(future, -torch.inf).softmax(-1), tokens, own))
    return cases


def slow_attended(pattern: Tensor, tokens: Tensor, own: Tensor) -> Tensor:
    """One prompt, query and key at a time."""
    added = torch.zeros(pattern.shape[:2])
    for row, prompt in enumerate(tokens.tolist()):
        for query in range(len(prompt)):
            added[row, query] = sum(pattern[row, query, key] * own[prompt[key]] for key in range(1, len(prompt)))
    return added


def attended(p: Tensor, t: Tensor, own: Tensor) -> Tensor:
    """The answer."""
    return (p[..., 1:] * own[t][:, None, 1:]).sum(-1)


def most_attended(p: Tensor, t: Tensor, own: Tensor) -> Tensor:
    """The own logit of the token that gets the most attention, <BOS> aside."""
    return own[t].gather(1, 1 + p[..., 1:].argmax(-1))


ATTENDED_MISTAKES = {
    "<BOS> was not left out: it is the first key": lambda p, t, own: (p * own[t][:, None, :]).sum(-1),
    "the first query was left out: <BOS> is to be left out as a key, the first column":
        lambda p, t, own: (p * own[t][:, None, :]).sum(-1) * (torch.arange(t.shape[1]) > 0),
    "the sum runs over the queries: for each query, add up over the keys":
        lambda p, t, own: (p * own[t][:, None, :]).sum(-2),
    "the sum runs over the queries: for each query, add up over the keys, without <BOS>":
        lambda p, t, own: (p[..., 1:] * own[t][:, None, 1:]).sum(-2),
    "those are the own logits of the queries' tokens: it is the keys' tokens that are looked at":
        lambda p, t, own: (p * own[t][:, :, None])[..., 1:].sum(-1),
    "a mean over keys: attention is already a weight, so add up":
        lambda p, t, own: attended(p, t, own) / p.shape[-1],
    "a mean over the queries too: one value for each query is asked for":
        lambda p, t, own: attended(p, t, own).mean(-1),
    "only the token that is looked at most: every key counts, by its attention": most_attended,
    "only the token that is looked at most, by its attention: every key counts":
        lambda p, t, own: most_attended(p, t, own) * p[..., 1:].max(-1).values,
    "attention was shared out anew among the other keys: leave <BOS> out, and the rest as it is":
        lambda p, t, own: attended(p, t, own) / p[..., 1:].sum(-1).clamp_min(1e-9),
    "attention plays no part in that: weigh each key's own logit by the attention that it gets":
        lambda p, t, own: attended((p > 0).float(), t, own),
    "one term for each key: add them up over the keys":
        lambda p, t, own: p * (own[t] * (torch.arange(t.shape[1]) > 0))[:, None, :],
}  # fmt: skip
