"""The exercises of notebook 09."""

import math

import torch
from torch import Tensor

from walkthrough.exercises.by_hand import benches, hand_built
from walkthrough.exercises.exercise import Exercise

# 9.1 where a pair of heads stands in the corner picture


def pairs_of_heads() -> list[tuple]:
    """W_E, W_U, then (W_V, W_O) of an earlier head and (W_Q, W_K, W_V, W_O) of a later one, more alike than chance."""
    cases = []
    generator = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=generator)
    d_vocab, d_model, d_head = 11, 8, 3
    for _ in range(2):
        W_E, first, W_Q = draw(d_vocab, d_model), (draw(d_model, d_head), draw(d_head, d_model)), draw(d_model, d_head)
        W_K = 0.4 * (W_Q.T @ first[0] @ first[1]).T + draw(d_model, d_head)
        W_V, W_U = draw(d_model, d_head), 0.5 * W_E.T + draw(d_model, d_vocab)
        cases.append((W_E, W_U, first, (W_Q, W_K, W_V, 0.7 * W_V.T + draw(d_head, d_model))))
    return cases


def positivity(matrix: Tensor) -> Tensor:
    """Sum of the eigenvalues over the sum of their sizes, of the whole matrix."""
    eigenvalues = torch.linalg.eigvals(matrix.double())
    return eigenvalues.sum().real / eigenvalues.abs().sum()


def rows_centred(table: Tensor) -> Tensor:
    """Each row less its mean."""
    return table - table.mean(1, keepdim=True)


def point(
    e: Tensor, u: Tensor, first, later, *, over: bool = True, term=None, copies=None, centre=rows_centred
) -> Tensor:  # fmt: skip
    """The point, or what becomes of it if one ingredient is another: the term in the keys, the copying head's OV."""
    term = term or (lambda e, v, o, q, k: e @ q @ (e @ v @ o @ k).T)
    W_V, W_O = copies or later[2:]
    across, up = centre(e @ W_V @ W_O @ u), term(e, *first, *later[:2])
    if over:
        return torch.stack([positivity(across), positivity(up)])
    size = lambda m: torch.linalg.svdvals(m.double()).sum()
    return torch.stack([across.double().trace() / size(across), up.double().trace() / size(up)])


CORNER_MISTAKES = {
    "the OV circuit is not centred: take the mean of each row away, which no softmax notices":
        lambda e, u, a, b: point(e, u, a, b, centre=lambda table: table),
    "the K-composed term is centred as well: only the OV circuit should be":
        lambda e, u, a, b: point(e, u, a, b, term=lambda e, v, o, q, k: rows_centred(e @ q @ (e @ v @ o @ k).T)),
    "the two are swapped: OV goes across, the K-composed term goes up":
        lambda e, u, a, b: point(e, u, a, b).flip(0),
    "that is the OV of the earlier head: it is the later one that must copy":
        lambda e, u, a, b: point(e, u, a, b, copies=a),
    "that is Q-composition: the earlier head must build the keys, not the queries":
        lambda e, u, a, b: point(e, u, a, b, term=lambda e, v, o, q, k: e @ v @ o @ q @ (e @ k).T),
    "that is the later head's own QK circuit: its keys must be what the earlier head wrote":
        lambda e, u, a, b: point(e, u, a, b, term=lambda e, v, o, q, k: e @ q @ (e @ k).T),
    "both queries and keys come from the earlier head: only the keys should":
        lambda e, u, a, b: point(e, u, a, b, term=lambda e, v, o, q, k: e @ v @ o @ q @ (e @ v @ o @ k).T),
    "the earlier head's OV is transposed: on our rows a key is W_E @ W_V @ W_O @ W_K":
        lambda e, u, a, b: point(e, u, a, b, term=lambda e, v, o, q, k: e @ q @ (e @ (v @ o).T @ k).T),
    "divided by the sum of the singular values: the measure divides by the sizes of the eigenvalues":
        lambda e, u, a, b: point(e, u, a, b, over=False),
    "not divided: the sum of the eigenvalues must be divided by the sum of their sizes":
        lambda e, u, a, b: torch.stack([
            rows_centred(e @ b[2] @ b[3] @ u).trace(), (e @ b[0] @ (e @ a[0] @ a[1] @ b[1]).T).trace()
        ]),
}  # fmt: skip


# 9.2 what layer 1 finds of each token at its own position


def with_own_token_heads() -> list[tuple]:
    """Two-layer models in which some heads of the first layer look at their own position: one in the first, two in the next."""
    from walkthrough import models

    cases = []
    for seed, own in ((0, [2]), (1, [0, 3])):
        model = models.PaperModel(models.config(2, d_model=32, n_heads=4, n_ctx=64, d_vocab=23), seed)
        with torch.no_grad():
            model.tok_embed.weight.mul_(3)
            model.layers[0].attn.v.weight.mul_(4)
            for head in own:  # queries and keys that read positions alike agree most where the positions do
                same = torch.zeros(8, 32)
                same[torch.arange(8), torch.arange(0, 32, 4) + torch.arange(8) % 2] = 4.0
                for linear in (model.layers[0].attn.q, model.layers[0].attn.k):
                    linear.weight[8 * head : 8 * head + 8] = same
        cases.append((models.bridge(model, name="tiny"),))
    return cases


def own(model) -> dict[int, float]:
    """The heads of layer 0 that pay more than half to their own token, with that share, on tokens of the check's own."""
    tokens = torch.randint(1, model.cfg.d_vocab, (16, 61), generator=torch.Generator().manual_seed(5))
    pattern = model.run_with_cache(tokens)[1]["pattern", 0]
    at = torch.arange(2, tokens.shape[1])
    shares = [pattern[:, head, at, at].mean().item() for head in range(model.cfg.n_heads)]
    return {head: share for head, share in enumerate(shares) if share > 0.5}


def moved(model, heads, *, start: float | int = 1, layer: int = 0, weigh=None, write=None) -> Tensor:
    """W_E, `start` times, and what these heads of a layer make of each token, looking at nothing else."""
    total = start * model.W_E
    for head in heads:
        OV = model.W_V[layer, head] @ model.W_O[layer, head]
        total = total + (weigh[head] if weigh else 1) * (write(model, OV) if write else model.W_E @ OV)
    return total


EMBEDDING_MISTAKES = {
    "the embedding itself is missing: the own-token heads add to W_E":
        lambda m: moved(m, own(m), start=0),
    "no head was added: that is W_E alone":
        lambda m: moved(m, []),
    "all heads of layer 0 were added: only own-token heads bring a token's vector to its own position":
        lambda m: moved(m, range(m.cfg.n_heads)),
    "the other heads were added: those that do not look at their own token":
        lambda m: moved(m, [head for head in range(m.cfg.n_heads) if head not in own(m)]),
    "only one own-token head was added: take all of them":
        lambda m: moved(m, list(own(m))[:1]),
    "W_E was added once for each head: it is in the stream once":
        lambda m: moved(m, own(m), start=len(own(m))),
    "those are heads of layer 1: what layer 1 reads was written by layer 0":
        lambda m: moved(m, own(m), layer=1),
    "each head was weighed by its attention: count it as if it looked at nothing but its own token":
        lambda m: moved(m, own(m), weigh=own(m)),
    "W_V @ W_O is transposed: on our rows a head adds W_E @ W_V @ W_O":
        lambda m: moved(m, own(m), write=lambda m, OV: m.W_E @ OV.T),
}  # fmt: skip


# 9.3 a head deleted while every pattern stays


def runs() -> list[tuple]:
    """A two-layer model whose patterns are far from even, tokens, and a head of its first layer."""
    from walkthrough import models

    cases = []
    for seed, head in ((0, (0, 2)), (1, (0, 1))):
        model = models.PaperModel(models.config(2, d_model=16, n_heads=4, n_ctx=12, d_vocab=11), seed)
        with torch.no_grad():
            model.tok_embed.weight.mul_(10)
            model.head.weight.mul_(4)
            for block in model.layers:
                block.attn.q.weight.mul_(1.5)
        tokens = torch.randint(1, 11, (3, 9), generator=torch.Generator().manual_seed(seed))
        cases.append((models.bridge(model, name="tiny"), tokens, head))
    return cases


def loss(logits: Tensor, tokens: Tensor) -> Tensor:
    """Mean cross-entropy of each prompt's next tokens, in nats."""
    return -logits[:, :-1].log_softmax(-1).gather(-1, tokens[:, 1:, None]).mean((1, 2))


def slow_change(
    model, tokens: Tensor, without: tuple[int, int], keep: bool = True, whole_layer: bool = False
) -> Tensor:
    """Loss with a head left out of the sum minus loss with all, head by head; `keep` its patterns or make new ones."""
    losses = []
    for left_out in (None, without):
        resid, all_there = model.W_E[tokens], model.W_E[tokens]
        for layer in range(model.cfg.n_layers):
            added, would_add = torch.zeros_like(resid), torch.zeros_like(resid)
            for head in range(model.cfg.n_heads):
                reads = (all_there if keep else resid) + model.W_pos[: tokens.shape[1]]
                scores = (reads @ model.W_Q[layer, head]) @ (reads @ model.W_K[layer, head]).mT
                future = torch.ones_like(scores).triu(1).bool()
                pattern = (scores / math.sqrt(model.cfg.d_head)).masked_fill(future, -torch.inf).softmax(-1)
                OV = model.W_V[layer, head] @ model.W_O[layer, head]
                gone = left_out == (layer, head) or (whole_layer and left_out is not None and left_out[0] == layer)
                added = added if gone else added + pattern @ resid @ OV
                would_add = would_add + pattern @ all_there @ OV
            resid, all_there = resid + added, all_there + would_add
        losses.append(loss(resid @ model.W_U, tokens))
    return losses[1] - losses[0]


CHANGE_MISTAKES = {
    "patterns were not frozen: the next layer looked elsewhere, so freeze the patterns of the whole run":
        lambda m, t, h: slow_change(m, t, h, keep=False),
    "the wrong layer: that is the head of the same number in the layer after":
        lambda m, t, h: slow_change(m, t, (h[0] + 1, h[1])),
    "the whole layer was deleted: only one head should be":
        lambda m, t, h: slow_change(m, t, h, whole_layer=True),
    "averaged over prompts: give one number for each":
        lambda m, t, h: slow_change(m, t, h).mean(),
    "the loss itself, where its change was asked: subtract the loss of the untouched run":
        lambda m, t, h: slow_change(m, t, h) + loss(m(t), t),
    "the sign is flipped: the loss without the head, minus the loss with it":
        lambda m, t, h: -slow_change(m, t, h),
    "summed over positions, where the mean loss of each prompt was asked":
        lambda m, t, h: slow_change(m, t, h) * (t.shape[1] - 1),
}  # fmt: skip


# 9.4 the table of the two-token match


def three_heads() -> list[tuple]:
    """A two-layer model, two different heads of its first layer, and one of its second."""
    from walkthrough import models

    cases = []
    for seed, heads in ((0, ((0, 1), (0, 3), (1, 2))), (1, ((0, 2), (0, 0), (1, 1)))):
        model = models.PaperModel(models.config(2, d_model=16, n_heads=4, n_ctx=12, d_vocab=11), seed)
        cases.append((models.bridge(model, name="tiny"), *heads))
    return cases


def two_tokens(m, first, second, later, *, query=True, key=True, scale=True, turned=False, pair=None) -> Tensor:
    """The dense table, or what becomes of it if a head is left out, or turned, or the scale forgotten."""
    OV_q, OV_k = (m.W_V[head] @ m.W_O[head] for head in (first, second))
    q = m.W_E @ OV_q if query else m.W_E
    k = m.W_E @ (OV_k.T if turned else OV_k) if key else m.W_E
    W_Q, W_K = pair(m, later) if pair else (m.W_Q[later], m.W_K[later])
    return (q @ W_Q) @ (k @ W_K).T / (math.sqrt(m.cfg.d_head) if scale else 1)


TWO_TOKEN_MISTAKES = {
    "the two heads of layer 0 are exchanged: query_head built the queries, the rows":
        lambda m, a, b, c: two_tokens(m, b, a, c),
    "the keys come straight from the tokens: key_head should have built them":
        lambda m, a, b, c: two_tokens(m, a, b, c, key=False),
    "the queries come straight from the tokens: query_head should have built them":
        lambda m, a, b, c: two_tokens(m, a, b, c, query=False),
    "that is the later head's own QK circuit: neither of the earlier heads is in it":
        lambda m, a, b, c: two_tokens(m, a, b, c, query=False, key=False),
    "not divided by the square root of d_head, as scores are":
        lambda m, a, b, c: two_tokens(m, a, b, c, scale=False),
    "W_OV of the key's head is on the wrong side: on our rows the keys are W_E @ OV[key_head], and the table ends in their transpose":
        lambda m, a, b, c: two_tokens(m, a, b, c, turned=True),
    "W_Q and W_K are exchanged: rows are queries, so they read W_Q":
        lambda m, a, b, c: two_tokens(m, a, b, c, pair=lambda m, c: (m.W_K[c], m.W_Q[c])),
}  # fmt: skip


EXERCISES: dict[str, Exercise] = {
    "9.1": Exercise(pairs_of_heads, point, CORNER_MISTAKES),
    "9.2": Exercise(with_own_token_heads, lambda model: moved(model, own(model)), EMBEDDING_MISTAKES),
    "9.3": Exercise(runs, slow_change, CHANGE_MISTAKES),
    "9.4": Exercise(three_heads, two_tokens, TWO_TOKEN_MISTAKES),
    "9.5": Exercise(benches, judge=hand_built),
}
