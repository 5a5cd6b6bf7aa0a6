"""The tasks of homework 3: one layer's paths, skip-trigrams, what a head is forced to say, and what it copies."""

import itertools
import math

import torch
from torch import Tensor

from graders import hw3_one_head as one_head
from graders.hw3_one_head import CHANCE, SAY, seeds
from walkthrough import models
from walkthrough.homework.task import Mistake, Task

PATHS = "notebook 04, “The model is a sum of paths”"
TABLES = "notebook 04, “Two tables for each head”"
STEPS = "notebook 03, “One head, step by step”"
MAP = "notebook 00, “Every weight, by name”"


def loud(seed: int, d_model: int, n_heads: int, d_vocab: int):
    """A random one-layer model: patterns far from uniform, and much that all logits share."""
    network = models.PaperModel(models.config(1, d_model, n_heads, 16, d_vocab), seed)
    network.tok_embed.weight.data *= 10
    network.head.weight.data *= 10
    network.head.weight.data += torch.randn(d_model, generator=torch.Generator().manual_seed(seed))
    return models.bridge(network, name="loud")


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
        scores = placed @ (W_Q @ W_K.mT / model.cfg.d_head**0.5) @ placed.T
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


def slow_best(model, head: int, tokens: Tensor, k: int) -> Tensor:
    """The best of all raises."""
    return best(slow_raises(model, head), tokens, k)


def close_call(raises: Tensor, tokens: Tensor, k: int) -> bool:
    """Whether rounding might settle which triples are best: the k + 1 best sources, or the best two for one of them."""
    among = raises[tokens][:, tokens][:, :, tokens]
    best_sources = among.amax((1, 2)).topk(k + 1)
    rows = [row for table in among[best_sources.indices] for row in (table.amax(0), table.amax(1))]
    gaps = [-best_sources.values.diff(), *(-row.topk(2).values.diff() for row in rows)]
    return torch.cat(gaps).min() < 3e-4 * best_sources.values[0] or best_sources.values[-1] <= 0


def search(seed: int, d_model: int, n_heads: int, d_vocab: int, head: int, n: int, k: int) -> tuple:
    """A model, a head, n tokens to search among, in no order and without `<BOS>`, and how many triples."""
    order = torch.randperm(d_vocab - 1, generator=torch.Generator().manual_seed(seed))
    return loud(seed, d_model, n_heads, d_vocab), head, 1 + order[:n], k


def searches(seed: int) -> list[tuple]:
    """Three searches that tell all mistakes apart, none of them settled by rounding."""
    for attempt in seeds(seed, 50):
        sizes = (12, 3, 20, 1, 12, 5), (10, 2, 17, 0, 11, 6), (16, 4, 22, 3, 13, 5)
        cases = [search(s, *size) for s, size in zip(seeds(attempt, 3), sizes)]
        answers = {str([wrong(*case) for case in cases]) for wrong in (slow_best, *(row[-1] for row in TOP))}
        if len(answers) > len(TOP) and not any(close_call(slow_raises(*case[:2]), *case[2:]) for case in cases):
            break
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


def listed(rows: list[tuple]) -> tuple[Mistake, ...]:
    """Mistakes from (sentence, see, wrong)."""
    return tuple(itertools.starmap(Mistake, rows))


TASKS: dict[str, Task] = {
    "hw3-1": Task("votes", 4, PATHS, prompts, slow_votes, listed([(s, see, other_votes(w)) for s, see, w in VOTES])),
    "hw3-2": Task("best_skip_trigrams", 4, TABLES, searches, slow_best, listed(TOP)),
    "hw3-3": Task("forced", 4, SAY, one_head.forests, one_head.slow_forced, listed(one_head.FORCED)),
    "hw3-4": Task(
        "copied_contrast", 4, one_head.COPYING, one_head.spectra, one_head.slow_contrast,
        listed([(s, see, one_head.with_steps(w) if isinstance(w, dict) else w) for s, see, w in one_head.CONTRAST]),
    ),
}  # fmt: skip
