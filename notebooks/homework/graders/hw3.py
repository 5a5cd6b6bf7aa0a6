"""The tasks of homework 3: one layer's paths, skip-trigrams, what a head is forced to say, and what it copies."""

import itertools
import math

import torch
from torch import Tensor

from walkthrough import models
from walkthrough.homework.task import Mistake, Task

PATHS = "notebook 04, “The model is a sum of paths”"
TABLES = "notebook 04, “Two tables for each head”"
STEPS = "notebook 03, “One head, step by step”"
COPYING = "notebook 05, “Copying, in d_head numbers”"
CHANCE = "notebook 05, “How sure may we be?”"
SAY = "notebook 05, “What two tables must say”"
MAP = "notebook 00, “Every weight, by name”"


def seeds(seed: int, number: int) -> list[int]:
    """As many seeds as wanted, all drawn from one."""
    return torch.randint(2**31, (number,), generator=torch.Generator().manual_seed(seed)).tolist()


def loud(seed: int, d_model: int, n_heads: int, d_vocab: int):
    """A random one-layer model whose weights are large enough for patterns far from uniform."""
    network = models.PaperModel(models.config(1, d_model, n_heads, 16, d_vocab), seed)
    network.tok_embed.weight.data *= 10
    network.head.weight.data *= 10
    return models.bridge(network, name="homework")


def softmaxed(scores: Tensor, masked: bool = True) -> Tensor:
    """Patterns from scores, with the mask or without it."""
    future = torch.ones_like(scores).triu(1).bool() & masked
    return scores.masked_fill(future, -math.inf).softmax(-1)


# 1 votes


def prompts(seed: int) -> list[tuple]:
    """A model, a prompt with a repeated token, a position that is not its last, and two tokens."""
    cases = []
    sizes = [(12, 3, 14, 7), (10, 2, 11, 6)]
    for s, (d_model, n_heads, d_vocab, n_pos) in zip(seeds(seed, len(sizes)), sizes):
        generator = torch.Generator().manual_seed(s)
        ids = 1 + torch.randperm(d_vocab - 1, generator=generator)
        tokens = torch.cat([torch.tensor([0]), ids[: n_pos - 2], ids[1:2]])
        model = loud(s, d_model, n_heads, d_vocab)
        cases.append((model, tokens, n_pos - 3, ids[-1].item(), ids[-2].item()))
    return cases


def slow_votes(model, tokens: Tensor, position: int, answer: int, rival: int) -> Tensor:
    """Head by head and source by source, with the pattern of the model's own run."""
    pattern = model.run_with_cache(tokens[None])[1]["pattern", 0][0].double()
    W_E, W_V, W_O, W_U = (W.double() for W in (model.W_E, model.W_V[0], model.W_O[0], model.W_U))
    votes = torch.zeros(1 + len(W_V), len(tokens)).double()
    for source, token in enumerate(tokens.tolist()):
        for head in range(len(W_V)):
            logits = pattern[head, position, source] * (W_E[token] @ W_V[head] @ W_O[head] @ W_U)
            votes[1 + head, source] = logits[answer] - logits[rival]
    direct = W_E[tokens[position]] @ W_U
    votes[0, position] = direct[answer] - direct[rival]
    return votes


def other_votes(change):
    """What `slow_votes` would be with other ingredients: `change` edits them in a dictionary."""

    def wrong(model, tokens: Tensor, position: int, answer: int, rival: int) -> Tensor:
        W_Q, W_K, W_V, W_O = (W[0].double() for W in (model.W_Q, model.W_K, model.W_V, model.W_O))
        embed, W_pos, here = model.W_E[tokens].double(), model.W_pos[: len(tokens)].double(), torch.zeros(len(tokens))
        placed, here[position] = embed + W_pos, 1.0
        scores = (placed @ W_Q) @ (placed @ W_K).mT / W_Q.shape[-1] ** 0.5
        x = dict(embed=embed, W_pos=W_pos, scores=scores, pattern=softmaxed(scores), here=here, W_Q=W_Q, W_K=W_K)
        x |= dict(OV=W_V @ W_O, other_OV=(W_O.mT @ W_V.mT), at=position, stream=embed, W_E=model.W_E.double())
        x |= dict(row=None, to=(model.W_U[:, answer] - model.W_U[:, rival]).double(), W_U=model.W_U.double())
        x |= dict(answer=answer, rival=rival, after=lambda votes: votes)
        x |= change(x)
        row = x["pattern"][:, x["at"]] if x["row"] is None else x["row"]
        heads = row * (x["stream"] @ x["OV"] @ x["to"])
        return x["after"](torch.cat([(x["here"] * (embed[position] @ x["to"]))[None], heads]))

    return wrong


def unplaced(x: dict) -> Tensor:
    """Patterns without positions."""
    return softmaxed((x["embed"] @ x["W_Q"]) @ (x["embed"] @ x["W_K"]).mT / x["W_Q"].shape[-1] ** 0.5)


VOTES = [
    ("the direct path is forgotten: it votes too, and row 0 is its own", PATHS, lambda x: {"here": 0 * x["here"]}),
    ("the direct path votes at every source: it reads nothing but the position's own token", PATHS,
        lambda x: {"here": 1 + 0 * x["here"]}),
    ("the pattern is not applied: a head weighs what a source says by the attention that it pays to it", PATHS,
        lambda x: {"pattern": torch.ones_like(x["pattern"]).tril()}),
    ("the pattern is transposed: its rows are queries", STEPS, lambda x: {"pattern": x["pattern"].mT}),
    ("that is the vote at the last position: `position` need not be the last", PATHS, lambda x: {"at": -1}),
    ("W_V and W_O are swapped: on rows, a head reads with one and writes with the other", MAP,
        lambda x: {"OV": x["other_OV"]}),
    ("positions went through W_V: they enter queries and keys only", PATHS,
        lambda x: {"stream": x["embed"] + x["W_pos"]}),
    ("the rival is forgotten: a vote is what a path does to the difference of two logits", PATHS,
        lambda x: {"to": x["W_U"][:, x["answer"]]}),
    ("the token at the position itself was moved: what a head brings depends on the source's token", PATHS,
        lambda x: {"stream": x["embed"][x["at"]].expand_as(x["embed"])}),
    ("no causal mask: a query does not see later tokens", STEPS,
        lambda x: {"pattern": softmaxed(x["scores"], masked=False)}),
    ("scores in place of a pattern: where is the softmax?", STEPS, lambda x: {"pattern": x["scores"].tril()}),
    ("your patterns miss the 1/√d_head", STEPS,
        lambda x: {"pattern": softmaxed(x["scores"] * x["W_Q"].shape[-1] ** 0.5)}),
    ("your patterns miss the positions: queries and keys read them beside the token", STEPS,
        lambda x: {"pattern": unplaced(x)}),
    ("outputs were read off with W_E: embedding and unembedding are two matrices", MAP,
        lambda x: {"to": x["W_E"][x["answer"]] - x["W_E"][x["rival"]]}),
    ("running sums over sources: each column is one source by itself", PATHS,
        lambda x: {"after": lambda votes: votes.cumsum(1)}),
    ("the heads were added up: each has a row of its own", PATHS,
        lambda x: {"after": lambda votes: torch.stack([votes[0], votes[1:].sum(0)])}),
    ("sources were added up: each has a column of its own", PATHS, lambda x: {"after": lambda votes: votes.sum(1)}),
    ("the direct path belongs in row 0, above the heads", PATHS, lambda x: {"after": lambda votes: votes.roll(-1, 0)}),
    ("all that the head says was counted at the position itself: ask which source it came from", PATHS,
        lambda x: {"after": lambda votes: x["here"] * votes.sum(1, keepdim=True)}),
]  # fmt: skip


# 2 best skip-trigrams


def circuits_of(model, head: int) -> tuple[Tensor, Tensor]:
    """A head's QK circuit [destination source], divided by √d_head, and its OV circuit [source out]."""
    W_Q, W_K, W_V, W_O = (W[0, head].double() for W in (model.W_Q, model.W_K, model.W_V, model.W_O))
    W_E, W_U = model.W_E.double(), model.W_U.double()
    return (W_E @ W_Q) @ (W_E @ W_K).T / math.sqrt(W_Q.shape[1]), W_E @ W_V @ W_O @ W_U


def slow_raises(model, head: int) -> Tensor:
    """Every raise [source destination out]: the head's logits with the source to look at, less those without it."""
    qk, ov = circuits_of(model, head)
    raises = torch.zeros(len(qk), len(qk), len(qk)).double()
    for source, destination in itertools.product(range(len(qk)), repeat=2):
        pattern = qk[destination, [0, source]].softmax(0)
        added = pattern @ ov[[0, source]] - ov[0]
        raises[source, destination] = added - added.mean()
    return raises


def best(raises: Tensor, tokens: Tensor, k: int) -> Tensor:
    """The k sources with the largest raise, each with its best destination and out; triples of token ids."""
    among = raises[tokens][:, tokens][:, :, tokens]
    value, place = among.flatten(1).max(1)
    top = value.topk(k).indices
    return torch.stack([tokens[top], tokens[place[top] // len(tokens)], tokens[place[top] % len(tokens)]], 1)


def close_call(raises: Tensor, tokens: Tensor, k: int) -> bool:
    """Whether rounding might settle which triples are best: the k + 1 best sources, or the best two for one of them."""
    among = raises[tokens][:, tokens][:, :, tokens]
    best_sources = among.amax((1, 2)).topk(k + 1)
    rows = [row for table in among[best_sources.indices] for row in (table.amax(0), table.amax(1))]
    gaps = [-best_sources.values.diff(), *(-row.topk(2).values.diff() for row in rows)]
    return torch.cat(gaps).min() < 3e-4 * best_sources.values[0] or best_sources.values[-1] <= 0


def searches(seed: int) -> list[tuple]:
    """A model, a head, tokens to search among in no order and without `<BOS>`, and how many triples."""
    cases, sizes = [], [(12, 3, 20, 12, 4, 1), (10, 2, 17, 11, 5, 0), (16, 4, 22, 13, 4, 3)]
    for s, (d_model, n_heads, d_vocab, n, k, head) in zip(seeds(seed, len(sizes)), sizes):
        for attempt in seeds(s, 100):
            model, generator = loud(attempt, d_model, n_heads, d_vocab), torch.Generator().manual_seed(attempt)
            tokens = 1 + torch.randperm(d_vocab - 1, generator=generator)[:n]
            if not close_call(slow_raises(model, head), tokens, k):
                break
        cases.append((model, head, tokens, k))
    return cases


def other_best(change, after=lambda triples, tokens: triples):
    """The best triples if attention [destination source] and what it moves [source out] were other ones."""

    def wrong(model, head: int, tokens: Tensor, k: int) -> Tensor:
        qk, ov = circuits_of(model, head)
        scale, tied = math.sqrt(model.cfg.d_head), (model.W_E[:, None] @ model.OV[0, head].AB @ model.W_E.T)[:, 0]
        x = dict(qk=qk, log_odds=qk - qk[:, :1], ov=ov, centred=ov - ov.mean(1, keepdim=True), scale=scale)
        x |= dict(tied=tied.double() - tied.double().mean(1, keepdim=True), tokens=tokens)
        x |= dict(moved=x["centred"] - x["centred"][0], looks=x["log_odds"].sigmoid())
        x |= dict(raises=lambda looks, moved: looks.T[:, :, None] * moved[:, None], best=best)
        x |= change(x)
        return after(x["best"](x["raises"](x["looks"], x["moved"]), tokens, k), tokens)

    return wrong


def best_of_all(raises: Tensor, tokens: Tensor, k: int) -> Tensor:
    """The k largest of all triples, more than one of a source allowed."""
    among = raises[tokens][:, tokens][:, :, tokens]
    return tokens[torch.stack(torch.unravel_index(among.flatten().topk(k).indices, among.shape), 1)]


def places(triples: Tensor, tokens: Tensor) -> Tensor:
    """Where in `tokens` each id stands."""
    return (triples[..., None] == tokens).int().argmax(-1)


TOP = [
    ("W_Q and W_K are swapped: it is the destination that looks for the source", TABLES,
        other_best(lambda x: {"looks": (x["qk"].T - x["qk"].T[:, :1]).sigmoid()})),
    ("your scores miss the 1/√d_head", TABLES,
        other_best(lambda x: {"looks": (x["log_odds"] * x["scale"]).sigmoid()})),
    ("`<BOS>` is missing from the softmax: a score says nothing until it is set against another", TABLES,
        other_best(lambda x: {"looks": x["qk"].sigmoid()})),
    ("attention is a share, not a log-odds: where is the softmax?", TABLES,
        other_best(lambda x: {"looks": x["log_odds"]})),
    ("the softmax runs over the whole vocabulary: only `<BOS>` and the source are there", TABLES,
        other_best(lambda x: {"looks": x["qk"].softmax(-1)})),
    ("what `<BOS>` moves is forgotten: attention paid to the source is taken from `<BOS>`", SAY,
        other_best(lambda x: {"moved": x["centred"]})),
    ("not centred: a raise shared by the whole vocabulary changes no prediction", CHANCE,
        other_best(lambda x: {"moved": x["ov"] - x["ov"][0]})),
    ("the mean of a row is over the whole vocabulary, not over `tokens` alone", CHANCE,
        other_best(lambda x: {"moved": (m := x["ov"] - x["ov"][0]) - m[:, x["tokens"]].mean(1, keepdim=True)})),
    ("outs were read off with W_E: embedding and unembedding are two matrices", MAP,
        other_best(lambda x: {"moved": x["tied"] - x["tied"][0]})),
    ("the OV table is transposed: a row is a source, a column an out", TABLES,
        other_best(lambda x: {"moved": x["moved"].T})),
    ("the two tables were added: what is moved is weighed by the attention", SAY,
        other_best(lambda x: {"raises": lambda looks, moved: x["log_odds"].T[:, :, None] + moved[:, None]})),
    ("large is not high: a head that lowers an out does not raise it", TABLES,
        other_best(lambda x: {"moved": x["moved"].abs()})),
    ("ranked by attention alone: the raise also depends on what is moved", SAY,
        other_best(lambda x: {"best": lambda raises, tokens, k: best_by(x["looks"][tokens].amax(0), raises, tokens, k)})),
    ("ranked by what is moved alone: the raise also depends on the attention", SAY,
        other_best(lambda x: {"best": lambda raises, tokens, k: best_by(x["moved"][:, tokens].amax(1), raises, tokens, k)})),
    ("some source stands there twice: one triple for each source was asked", TABLES,
        other_best(lambda x: {"best": best_of_all})),
    ("those are places in `tokens`, not ids of tokens", TABLES, other_best(lambda x: {}, places)),
    ("all tokens were searched: `tokens` says which", TABLES,
        other_best(lambda x: {"best": lambda raises, tokens, k: best(raises, torch.arange(1, len(raises)), k)})),
    ("the order within a triple is source, destination, out: yours has out before destination", TABLES,
        other_best(lambda x: {}, lambda triples, tokens: triples[:, [0, 2, 1]])),
    ("the order within a triple is source, destination, out: yours begins with the destination", TABLES,
        other_best(lambda x: {}, lambda triples, tokens: triples[:, [1, 0, 2]])),
    ("weakest first: the strongest comes first", TABLES, other_best(lambda x: {}, lambda triples, tokens: triples.flip(0))),
]  # fmt: skip


def best_by(rank: Tensor, raises: Tensor, tokens: Tensor, k: int) -> Tensor:
    """Each source's best triple, but the sources in another order."""
    triples = best(raises, tokens, len(tokens))
    return triples[rank[triples[:, 0]].topk(k).indices]


# 3 what is forced


def forests(seed: int) -> list[tuple]:
    """One source's raises, a few known: never a closed ring, two groups or more, one a long chain, both signs."""
    cases, sizes = [], [(6, 7), (7, 5), (5, 8)]
    for s, (n_destinations, n_outs) in zip(seeds(seed, len(sizes)), sizes):
        for attempt in seeds(s, 200):
            generator = torch.Generator().manual_seed(attempt)
            shares = 0.15 + 0.8 * torch.rand(n_destinations, generator=generator)
            moved = (0.4 + 2 * torch.rand(n_outs, generator=generator)) * torch.randn(n_outs, generator=generator).sign()
            known, group = torch.zeros(n_destinations, n_outs).bool(), torch.arange(n_destinations + n_outs)
            for place in torch.randperm(n_destinations * n_outs, generator=generator).tolist():
                row, column = divmod(place, n_outs)
                ends = group[row].item(), group[n_destinations + column].item()
                if ends[0] != ends[1] and known.sum() < n_destinations + n_outs - 3:
                    known[row, column], group = True, torch.where(group == ends[1], ends[0], group)
            raised = torch.outer(shares, moved) * known
            steps = [passes(raised, known, n)[1].sum() for n in (0, 1, 2, 9)]
            groups = group.bincount()
            if steps[0] < steps[1] < steps[2] <= steps[3] < known.numel() and (groups > 2).sum() > 1:
                break
        cases.append((raised, known))
    return cases


def passes(raised: Tensor, known: Tensor, n: int, add: bool = False) -> tuple[Tensor, Tensor]:
    """The table and what is known of it after n passes: a fourth corner of three gets its value from them."""
    raised, known = raised.double().clone(), known.clone()
    corners = list(itertools.product(range(len(raised)), range(raised.shape[1]), repeat=2))
    for _ in range(n):
        before, had = raised.clone(), known.clone()
        for d, o, e, p in corners:
            if not had[d, o] and d != e and o != p and had[d, p] and had[e, o] and had[e, p]:
                a, b, c = before[d, p], before[e, o], before[e, p]
                raised[d, o], known[d, o] = (a + b - c if add else a * b / c), True
    return raised, known


def slow_forced(raised: Tensor, known: Tensor) -> Tensor:
    """Passes until nothing is new."""
    return passes(raised, known, raised.numel())[0]


def any_scale(raised: Tensor, known: Tensor) -> Tensor:
    """A product everywhere: shares found by walking along what is known, from 1 at each group's first destination."""
    shares, moved = torch.zeros(len(raised)).double(), torch.zeros(raised.shape[1]).double()
    for first in range(len(raised)):
        shares[first] = shares[first] or 1.0
        for _, (d, o) in itertools.product(range(raised.numel()), known.nonzero().tolist()):
            moved[o] = moved[o] or (raised[d, o] / shares[d] if shares[d] else 0.0)
            shares[d] = shares[d] or (raised[d, o] / moved[o] if moved[o] else 0.0)
    return torch.outer(shares, moved)


def closest(raised: Tensor, known: Tensor) -> Tensor:
    """The product that is nearest to the table with zeros for what is not known."""
    U, S, Vh = torch.linalg.svd(raised.double())
    return S[0] * torch.outer(U[:, 0], Vh[0])


def margins(raised: Tensor, known: Tensor) -> Tensor:
    """Row's sum times column's sum, over the sum of all."""
    return torch.outer(raised.sum(1), raised.sum(0)).double() / raised.sum()


def mean_of(axis: int):
    """For each unknown entry the mean of the known ones in its row or column."""
    return lambda raised, known: (raised.sum(axis, True) / known.sum(axis, True).clamp_min(1)).double().expand(raised.shape)


def fill(with_what):
    """The known entries, and others where they are not known."""
    return lambda raised, known: torch.where(known, raised.double(), with_what(raised, known))


FORCED = [
    ("the two tables were added: a raise is attention *times* what is moved", SAY,
        lambda raised, known: passes(raised, known, raised.numel(), add=True)[0]),
    ("an entry that was just forced may force others: you stopped after one pass", SAY,
        lambda raised, known: passes(raised, known, 1)[0]),
    ("some entries of yours are free: where no chain of known ones leads, attention may be halved and what is moved "
        "doubled", SAY, any_scale),
    ("an unknown raise is not a raise of 0: your fit takes it for one", SAY, closest),
    ("an unknown raise is not a raise of 0: your fit takes it for one", SAY, fill(closest)),
    ("sums of rows and columns count what is unknown as 0, and raises are not counts", SAY, fill(margins)),
    ("sums of rows and columns count what is unknown as 0, and raises are not counts", SAY, margins),
    ("a mean over destinations: they differ in attention", SAY, fill(mean_of(0))),
    ("a mean over outs: they differ in what is moved to them", SAY, fill(mean_of(1))),
    ("signs are lost: a head lowers logits too", SAY, lambda raised, known: slow_forced(raised, known).abs()),
    ("signs are lost: a head lowers logits too", SAY, fill(lambda raised, known: slow_forced(raised, known).abs())),
    ("the known entries are missing from your table", SAY,
        lambda raised, known: slow_forced(raised, known).masked_fill(known, 0.0)),
]  # fmt: skip


# 4 the copied contrast


def spectra(seed: int) -> list[tuple]:
    """OV factors whose centred table has real eigenvalues of both signs and a complex pair, and is far from symmetric."""
    cases = []
    sizes = [(14, (1.6, -3.1), (2.1, 1.2)), (17, (2.3, 0.9, -3.9), (2.9, 0.8)), (12, (1.2, 0.5, -3.0), (1.9, 1.5))]
    for s, (n, real, (re, im)) in zip(seeds(seed, len(sizes)), sizes):
        for attempt in seeds(s, 200):
            generator = torch.Generator().manual_seed(attempt)
            draw = lambda *shape: torch.randn(shape, generator=generator).double()
            block = torch.block_diag(torch.tensor(real).diag().double(), torch.tensor([[re, im], [-im, re]]).double())
            d_head, change = len(block), torch.eye(len(block)) + 0.5 * draw(len(block), len(block))
            A, ones = draw(n, d_head), torch.ones(n, 1).double()
            wall = torch.linalg.pinv(torch.cat([A, ones], 1))
            wanted = torch.cat([change @ block @ change.inverse(), torch.zeros(d_head, 1).double()], 1)
            B = wanted @ wall + 0.2 * draw(d_head, n) @ (torch.eye(n) - torch.cat([A, ones], 1) @ wall)
            A, B = A.float(), (B + draw(d_head, 1)).float()
            sizes_of = slow_contrast(A, B).abs().topk(2).values
            rough = contrast(A, B)  # in float32
            if torch.linalg.cond(change) < 20 and sizes_of[0] > 1.02 * sizes_of[1] and (rough - slow_contrast(A, B)).abs().max() < 1e-5:
                break
        cases.append((A, B))
    return cases


def unit(v: Tensor) -> Tensor:
    """Of length 1, the entry that is largest in size positive."""
    return v / v.norm() * v[v.abs().argmax()].sign()


def centred_columns(B: Tensor) -> Tensor:
    """B for a table whose rows have mean 0."""
    return B - B.mean(1, keepdim=True)


def slow_contrast(A: Tensor, B: Tensor) -> Tensor:
    """From the whole table written out, in double precision: the left eigenvector of its largest real eigenvalue."""
    table = A.double() @ centred_columns(B.double())
    values, vectors = torch.linalg.eig(table.T)
    real = values.imag.abs() < 1e-7 * values.abs().max()
    return unit(vectors[:, torch.where(real, values.real, -torch.inf).argmax()].real)


def contrast(A: Tensor, B: Tensor, rank=None, turn=lambda M: M.T, back=lambda y, A, B: y @ B, centre=True, scale=unit):
    """From the small product, with any of the steps changed."""
    B = centred_columns(B) if centre else B
    values, vectors = torch.linalg.eig(turn(B @ A))
    rank = rank or (lambda values: torch.where(values.imag == 0, values.real, -torch.inf))
    return scale(back(vectors[:, rank(values).argmax()].real, A, B))


def change(**steps):
    """`contrast` with these steps, in double precision."""
    return lambda A, B: contrast(A.double(), B.double(), **steps)


def symmetric(A: Tensor, B: Tensor) -> Tensor:
    """The highest eigenvector of the table's symmetric part."""
    table = A.double() @ centred_columns(B.double())
    return unit(torch.linalg.eigh(table + table.T).eigenvectors[:, -1])


def singular(side: int):
    """The first singular vector of the table: on the left (0) or the right (2)."""
    def wrong(A: Tensor, B: Tensor) -> Tensor:
        U, _, Vh = torch.linalg.svd(A.double() @ centred_columns(B.double()))
        return unit(U[:, 0] if side == 0 else Vh[0])
    return wrong


CONTRAST = [
    ("the constant in each row was left in, and a softmax ignores it", CHANCE, change(centre=False)),
    ("that eigenvector is for columns: our mixtures are rows and stand left of the table", COPYING,
        change(turn=lambda M: M, back=lambda y, A, B: A @ y)),
    ("`eig` gives eigenvectors that stand right of a matrix: the small one was to be taken from the left", COPYING,
        change(turn=lambda M: M)),
    ("A leads back to the wrong side: which factor has a column for each out?", COPYING,
        change(back=lambda y, A, B: A @ y)),
    ("largest in size is not largest: that eigenvalue is negative, and its mixture lowers itself", COPYING,
        change(rank=lambda values: values.abs())),
    ("that eigenvalue is one of a complex pair, which turns one mixture into another", COPYING,
        change(rank=lambda values: values.real)),
    ("that mixture lowers itself most: its eigenvalue is the most negative", COPYING,
        change(rank=lambda values: torch.where(values.imag == 0, -values.real, -torch.inf))),
    ("your matrix was made symmetric: a head's table is not", CHANCE, symmetric),
    ("a singular vector goes in and another comes out: an eigenvector must come back as itself", COPYING, singular(0)),
    ("a singular vector goes in and another comes out: an eigenvector must come back as itself", COPYING, singular(2)),
    ("not of length 1: divide by the norm", COPYING, change(scale=lambda v: v * v[v.abs().argmax()].sign())),
    ("not of length 1: divide by the norm", COPYING, change(scale=lambda v: v)),
    ("entries that add up to 1 were not asked: length 1 is the root of the sum of squares", COPYING,
        change(scale=lambda v: v / v.abs().sum() * v[v.abs().argmax()].sign())),
    ("the sign is left to chance: make the entry that is largest in size positive", COPYING,
        change(scale=lambda v: v / v.norm())),
    ("that is in the head's d_head dimensions: a mixture has one entry for each token", COPYING,
        change(back=lambda y, A, B: y)),
    ("those are the tokens' own logits, the diagonal", COPYING,
        lambda A, B: unit((A * centred_columns(B).T).sum(1).double())),
]  # fmt: skip


def listed(rows: list[tuple]) -> tuple[Mistake, ...]:
    """Mistakes from (sentence, see, wrong)."""
    return tuple(itertools.starmap(Mistake, rows))


TASKS: dict[str, Task] = {
    "hw3-1": Task("votes", 4, PATHS, prompts, slow_votes, listed([(s, see, other_votes(w)) for s, see, w in VOTES])),
    "hw3-2": Task("best_skip_trigrams", 4, TABLES, searches, lambda model, head, tokens, k: best(slow_raises(model, head), tokens, k), listed(TOP)),
    "hw3-3": Task("forced", 4, SAY, forests, slow_forced, listed(FORCED)),
    "hw3-4": Task("copied_contrast", 4, COPYING, spectra, slow_contrast, listed(CONTRAST)),
}
