"""Exercises 4.2 to 4.4: the two circuits of a head, and a circuit less what a softmax ignores."""

import math

import torch
from torch import Tensor

# 4.2 and 4.3 the two circuits of a head


def heads_of_a_model() -> list[tuple]:
    """A model of two layers, and two of its heads: their numbers exchanged, each would be the other."""
    from walkthrough import models

    model = models.tiny(2, seed=3)
    return [(model, 1, 0), (model, 0, 1)]


def slow_qk(model, layer: int, head: int) -> Tensor:
    """Pair by pair: the query of one token, the key of the other, their dot product over √d_head."""
    queries = [embedding @ model.W_Q[layer, head] for embedding in model.W_E]
    keys = [embedding @ model.W_K[layer, head] for embedding in model.W_E]
    root = math.sqrt(model.cfg.d_head)
    return torch.stack([torch.stack([(query * key).sum() / root for key in keys]) for query in queries])


def qk(m, layer: int, head: int) -> Tensor:
    """The QK circuit, rows destinations."""
    return m.W_E @ m.W_Q[layer, head] @ m.W_K[layer, head].T @ m.W_E.T / math.sqrt(m.cfg.d_head)


QK_MISTAKES = {
    "missing the 1/√d_head: divide the scores by it":
        lambda m, a, h: qk(m, a, h) * math.sqrt(m.cfg.d_head),
    "divided by d_head: the scores are divided by its square root":
        lambda m, a, h: qk(m, a, h) / math.sqrt(m.cfg.d_head),
    "multiplied by √d_head: the scores are divided by it":
        lambda m, a, h: qk(m, a, h) * m.cfg.d_head,
    "divided by √d_model: the scale is √d_head, for query and key have d_head entries":
        lambda m, a, h: qk(m, a, h) * math.sqrt(m.cfg.d_head / m.cfg.d_model),
    "W_Q and W_K are swapped, or all is transposed: rows are destinations, whose queries look":
        lambda m, a, h: qk(m, a, h).T,
    "layer and head are swapped: model.W_Q[layer, head]":
        lambda m, a, h: qk(m, h, a),
    "that is head 0 whatever the number of the head":
        lambda m, a, h: qk(m, a, 0),
    "that is layer 0 whatever the layer":
        lambda m, a, h: qk(m, 0, h),
    "W_U has no part in it: both sides come from the embedding":
        lambda m, a, h: m.W_E @ m.W_Q[a, h] @ m.W_K[a, h].T @ m.W_U / math.sqrt(m.cfg.d_head),
    "that is the OV circuit: here W_Q and W_K are asked for":
        lambda m, a, h: m.W_E @ m.W_V[a, h] @ m.W_O[a, h] @ m.W_U,
    "W_QK without the tokens, [d_model d_model]: multiply by W_E on both sides":
        lambda m, a, h: m.W_Q[a, h] @ m.W_K[a, h].T / math.sqrt(m.cfg.d_head),
    "W_QK without the tokens, [d_model d_model], and without 1/√d_head: multiply by W_E on both sides, and divide":
        lambda m, a, h: m.W_Q[a, h] @ m.W_K[a, h].T,
    "a softmax was taken: a table of scores is asked for, from which any prompt's attention can be computed":
        lambda m, a, h: qk(m, a, h).softmax(-1),
    "relative to <BOS>: that is the next step; here no score is subtracted":
        lambda m, a, h: qk(m, a, h) - qk(m, a, h)[:, :1],
}  # fmt: skip


def slow_ov(model, layer: int, head: int) -> Tensor:
    """Token by token: through W_V, through W_O, and its logits."""
    rows = []
    for embedding in model.W_E:
        value = embedding @ model.W_V[layer, head]
        written = value @ model.W_O[layer, head]
        rows.append(written @ model.W_U)
    return torch.stack(rows)


def ov(m, layer: int, head: int) -> Tensor:
    """The OV circuit, rows sources."""
    return m.W_E @ m.W_V[layer, head] @ m.W_O[layer, head] @ m.W_U


OV_MISTAKES = {
    "transposed: rows are sources, columns are outputs":
        lambda m, a, h: ov(m, a, h).T,
    "layer and head are swapped: model.W_V[layer, head]":
        lambda m, a, h: ov(m, h, a),
    "that is head 0 whatever the number of the head":
        lambda m, a, h: ov(m, a, 0),
    "that is layer 0 whatever the layer":
        lambda m, a, h: ov(m, 0, h),
    "W_OV is transposed: a row meets W_V first, then W_O":
        lambda m, a, h: m.W_E @ (m.W_V[a, h] @ m.W_O[a, h]).T @ m.W_U,
    "W_E and W_U have changed places: tokens come in by W_E and go out by W_U":
        lambda m, a, h: m.W_U.T @ m.W_V[a, h] @ m.W_O[a, h] @ m.W_E.T,
    "W_U is not W_E transposed: outputs are read off with W_U":
        lambda m, a, h: m.W_E @ m.W_V[a, h] @ m.W_O[a, h] @ m.W_E.T,
    "the head is missing: that is the direct path":
        lambda m, a, h: m.W_E @ m.W_U,
    "the direct path is in it: only what the head adds is asked for":
        lambda m, a, h: m.W_E @ m.W_U + ov(m, a, h),
    "that is the QK circuit: here W_V and W_O are asked for":
        qk,
    "W_OV without the tokens, [d_model d_model]: W_E on the left, W_U on the right":
        lambda m, a, h: m.W_V[a, h] @ m.W_O[a, h],
    "divided by √d_head: that belongs to scores, and there are none here":
        lambda m, a, h: ov(m, a, h) / math.sqrt(m.cfg.d_head),
    "centred: that is the next step; here nothing is subtracted":
        lambda m, a, h: centre(ov(m, a, h)),
    "a softmax was taken: logits were asked for":
        lambda m, a, h: ov(m, a, h).softmax(-1),
}  # fmt: skip


# 4.4 a circuit less what a softmax ignores


def ov_circuits() -> list[tuple]:
    """OV circuits, as two factors each."""
    from walkthrough import circuits, models

    return [(circuits.ov_circuit(models.tiny(1, seed=seed), 0, head),) for seed, head in ((1, 3), (2, 0))]


def centre(table: Tensor) -> Tensor:
    """Each row less its mean."""
    return table - table.mean(1, keepdim=True)


def slow_centred(circuit) -> Tensor:
    """Row by row of the whole table."""
    return torch.stack([row - sum(row) / len(row) for row in circuit.AB])


CENTRED_MISTAKES = {
    "keepdim=True was forgotten: the means of the rows were subtracted along the wrong axis, one from each column":
        lambda c: c.AB - c.AB.mean(-1),
    "not centred: subtract from each row its mean": lambda c: c.AB,
    "the wrong axis: each row belongs to one source and must have mean zero, so the mean is over the last axis":
        lambda c: c.AB - c.AB.mean(0),
    "centred along both axes: a softmax ignores only what is added to a whole row":
        lambda c: centre(c.AB) - centre(c.AB).mean(0),
    "the means run along d_head, the axis that both factors share: the outputs are the last axis of B":
        lambda c: c.A @ (c.B - c.B.mean(0)),
    "both factors were centred: the outputs are the columns of B, and A stays as it is":
        lambda c: c.A.sub(c.A.mean(-1, keepdim=True)) @ c.B.sub(c.B.mean(-1, keepdim=True)),
    "one mean for the whole table: each row has its own": lambda c: c.AB - c.AB.mean(),
    "one mean for all of B: each of its rows has its own": lambda c: c.A @ (c.B - c.B.mean()),
    "the mean was added: subtract it": lambda c: c.AB + c.AB.mean(1, keepdim=True),
    "the sum was subtracted: take the mean": lambda c: c.AB - c.AB.sum(1, keepdim=True),
    "divided by the mean: subtract it": lambda c: c.AB / c.AB.mean(1, keepdim=True),
    "those are the means: subtract them from the table": lambda c: c.AB.mean(1, keepdim=True),
    "a log-softmax subtracts more than the mean: logits with mean zero were asked for": lambda c: c.AB.log_softmax(-1),
    "a softmax was taken: logits were asked for": lambda c: c.AB.softmax(-1),
    "only the factor B: return both, with A as it is": lambda c: c.B - c.B.mean(-1, keepdim=True),
}  # fmt: skip
LOST = "the mean has lost its axis, so it cannot be subtracted from each row: mean(-1, keepdim=True)"
