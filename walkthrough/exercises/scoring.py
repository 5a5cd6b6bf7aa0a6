"""Exercises 4.5 and 4.6: the score of a skip-trigram in the weights, and its effect in a run."""

import math

import torch
from torch import Tensor


def noise(seed: int, *shapes: tuple[int, ...]) -> tuple[Tensor, ...]:
    """Random tensors without symmetries."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(shape, generator=generator) for shape in shapes)


# 4.5 the skip-trigram score


def triples() -> list[tuple]:
    """Two circuits of a head with entries of the size that trained ones have; source, destination and outs."""
    from walkthrough import circuits, models

    kind = type(circuits.ov_circuit(models.tiny(1, seed=0), 0, 0))
    cases = []
    for seed, (source, destination, outs) in enumerate([(5, 9, [11, 3, 7]), (8, 2, [6]), (3, 3, [1, 10])]):
        q, k, v, o = noise(seed, (12, 3), (3, 12), (12, 3), (3, 12))
        cases.append((kind(q, k), kind(v, 2 * o), source, destination, outs))
    return cases


def slow_score(qk, ov, source: int, destination: int, outs: list[int]) -> float:
    """A softmax over the two tokens that there are to look at; then the outs of the source's row, one by one."""
    to_source, to_bos = (math.exp(qk.AB[destination, key].item()) for key in (source, 0))
    row = ov.AB[source].tolist()
    raised = sum(row[out] for out in outs) / len(outs) - sum(row) / len(row)
    return to_source / (to_source + to_bos) * raised


def attention(qk, source: int, destination: int, *, bos: int = 1) -> Tensor:
    """The share that goes to the source."""
    return (qk.AB[destination, source] - bos * qk.AB[destination, 0]).sigmoid()


def raised(ov, source: int, outs: list[int]) -> Tensor:
    """How much more than the average token the source raises the outs."""
    return ov.AB[source, outs].mean() - ov.AB[source].mean()


SCORE_MISTAKES = {
    "source and destination are swapped in QK: rows are destinations, which look":
        lambda q, o, s, d, t: attention(q, d, s) * raised(o, s, t),
    "the score of <BOS> is missing: attention to the source is a matter of the difference between the two":
        lambda q, o, s, d, t: attention(q, s, d, bos=0) * raised(o, s, t),
    "the scores were added: attention to the source depends on its score LESS that of <BOS>":
        lambda q, o, s, d, t: attention(q, s, d, bos=-1) * raised(o, s, t),
    "that is attention to <BOS>: the sign of the log-odds is flipped":
        lambda q, o, s, d, t: (1 - attention(q, s, d)) * raised(o, s, t),
    "the log-odds are not attention yet: a sigmoid makes a share from 0 to 1 of them":
        lambda q, o, s, d, t: (q.AB[d, s] - q.AB[d, 0]) * raised(o, s, t),
    "those are odds, not a share: a sigmoid in place of exp":
        lambda q, o, s, d, t: (q.AB[d, s] - q.AB[d, 0]).exp() * raised(o, s, t),
    "a softmax over the whole vocabulary: there are only the source and <BOS> to look at":
        lambda q, o, s, d, t: q.AB[d].softmax(-1)[s] * raised(o, s, t),
    "the source's row was not centred: subtract its mean from what the outs get":
        lambda q, o, s, d, t: attention(q, s, d) * o.AB[s, t].mean(),
    "the mean over all sources was subtracted: a softmax ignores the mean of the source's own row":
        lambda q, o, s, d, t: attention(q, s, d) * (o.AB[s, t].mean() - o.AB[:, t].mean()),
    "OV has a row for each source: what moves is the source's token, not the destination's":
        lambda q, o, s, d, t: attention(q, s, d) * raised(o, d, t),
    "OV is transposed: rows are sources, columns are outs":
        lambda q, o, s, d, t: attention(q, s, d) * (o.AB[t, s].mean() - o.AB[:, s].mean()),
    "the outs were added up: take their mean":
        lambda q, o, s, d, t: attention(q, s, d) * (o.AB[s, t] - o.AB[s].mean()).sum(),
    "the largest of the outs alone: take their mean":
        lambda q, o, s, d, t: attention(q, s, d) * (o.AB[s, t].max() - o.AB[s].mean()),
    "the first of the outs alone: take the mean of all":
        lambda q, o, s, d, t: attention(q, s, d) * raised(o, s, t[:1]),
    "one score for each out: take their mean":
        lambda q, o, s, d, t: attention(q, s, d) * (o.AB[s, t] - o.AB[s].mean()),
    "attention and logits were added: what arrives is their product":
        lambda q, o, s, d, t: attention(q, s, d) + raised(o, s, t),
    "that is the QK half alone: multiply the attention by what OV then adds":
        lambda q, o, s, d, t: attention(q, s, d),
    "that is the OV half alone: multiply it by the attention":
        lambda q, o, s, d, t: raised(o, s, t),
}  # fmt: skip


# 4.6 the effect in a run


def log_probs() -> list[tuple]:
    """Log-probabilities of the same contexts with the source and without it, and outs of very different probability."""
    cases = []
    for seed, outs in enumerate([[2, 7, 4], [5], [0, 8]]):
        with_source, without = noise(seed, (6, 11), (6, 11))
        cases.append(((3 * with_source).log_softmax(-1), (2 * without).log_softmax(-1), outs))
    return cases


def slow_rise(with_source: Tensor, without: Tensor, outs: list[int]) -> list[float]:
    """Context by context: the probabilities of the outs added up, then the logarithm."""
    rises = []
    for after, before in zip(with_source.double().tolist(), without.double().tolist()):
        p_after, p_before = (sum(math.exp(row[out]) for out in outs) for row in (after, before))
        rises.append(math.log(p_after) - math.log(p_before))
    return rises


RISE_MISTAKES = {
    "the log-probabilities of the outs were averaged: the probability of 'one of them' is a sum of probabilities":
        lambda w, o, t: w[:, t].mean(-1) - o[:, t].mean(-1),
    "the log-probabilities of the outs were added, which multiplies the probabilities: exponentiate before you add":
        lambda w, o, t: w[:, t].sum(-1) - o[:, t].sum(-1),
    "the probabilities were subtracted, not their logarithms":
        lambda w, o, t: w[:, t].exp().sum(-1) - o[:, t].exp().sum(-1),
    "that is the ratio of the probabilities: take its logarithm":
        lambda w, o, t: (w[:, t].logsumexp(-1) - o[:, t].logsumexp(-1)).exp(),
    "in bits: use the natural logarithm for nats":
        lambda w, o, t: (w[:, t].logsumexp(-1) - o[:, t].logsumexp(-1)) / math.log(2),
    "the likeliest of the outs alone: add up the probabilities of all":
        lambda w, o, t: w[:, t].amax(-1) - o[:, t].amax(-1),
    "the first of the outs alone: add up the probabilities of all":
        lambda w, o, t: w[:, t[0]] - o[:, t[0]],
    "one number for each out: the outs count together":
        lambda w, o, t: w[:, t] - o[:, t],
    "averaged over contexts: one number for each context is asked for":
        lambda w, o, t: (w[:, t].logsumexp(-1) - o[:, t].logsumexp(-1)).mean(),
    "the sum runs over the contexts: add up the outs, the last axis":
        lambda w, o, t: w[:, t].logsumexp(0) - o[:, t].logsumexp(0),
    "the sum runs over all tokens, so it is always log 1: take the outs only":
        lambda w, o, t: w.logsumexp(-1) - o.logsumexp(-1),
    "a log-softmax among the outs compares them with each other: keep their probabilities as they are":
        lambda w, o, t: w[:, t].log_softmax(-1).sum(-1) - o[:, t].log_softmax(-1).sum(-1),
    "that is log P with the source: subtract log P without it":
        lambda w, o, t: w[:, t].logsumexp(-1),
}  # fmt: skip
