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


def against_bos(x: dict) -> dict:
    """Each source's vote less that of `<BOS>`, which gets the whole of its own."""

    def after(votes: Tensor) -> Tensor:
        """Votes again, from what each source says."""
        says = x["embed"] @ x["OV"] @ x["to"]
        relative = x["pattern"][:, x["at"]] * (says - says[:, :1])
        return torch.cat([votes[:1], torch.cat([says[:, :1], relative[:, 1:]], 1)])

    return {"after": after}


def at_end(x: dict) -> dict:
    """All votes at the prompt's last position."""
    direct = torch.zeros(1, len(x["embed"])).double()
    direct[0, -1] = x["embed"][-1] @ x["to"]
    return {"at": -1, "after": lambda votes: torch.cat([direct, votes[1:]])}


VOTES = [
    ("the direct path is forgotten: it votes too, and row 0 is its own", PATHS, lambda x: {"here": 0 * x["here"]}),
    ("the direct path votes at every source: it reads nothing but the position's own token", PATHS,
        lambda x: {"here": 1 + 0 * x["here"]}),
    ("the direct path stands in column 0: it reads the token at `position`", PATHS,
        lambda x: {"here": x["here"].roll(-x["at"])}),
    ("each token has a direct path, but only that of `position` ends there", PATHS,
        lambda x: {"after": lambda votes: torch.cat([(x["embed"] @ x["to"])[None], votes[1:]])}),
    ("the votes are set against `<BOS>`'s: each source speaks for itself, `<BOS>` too", PATHS, against_bos),
    ("the pattern is not applied: a head weighs what a source says by the attention that it pays to it", PATHS,
        lambda x: {"pattern": torch.ones_like(x["pattern"]).tril()}),
    ("the pattern is transposed: its rows are queries", STEPS, lambda x: {"pattern": x["pattern"].mT}),
    ("that is the vote at the last position: `position` need not be the last", PATHS, lambda x: {"at": -1}),
    ("those are the votes at the last position, the direct path's too: `position` need not be the last", PATHS, at_end),
    ("set against the mean of all logits: a vote is for the answer over the rival", PATHS,
        lambda x: {"to": x["W_U"][:, x["answer"]] - x["W_U"].mean(1)}),
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
    best_sources = among.amax((1, 2)).topk(min(k + 1, len(tokens)))
    rows = [row for table in among[best_sources.indices] for row in (table.amax(0), table.amax(1))]
    gaps = [-best_sources.values.diff(), *(-row.topk(2).values.diff() for row in rows)]
    if k == len(tokens):  # a source that raises nothing must have one destination that hears it least
        return torch.cat(gaps).min() < 1e-3 * among.abs().max() or best_sources.values[-1] > 0
    return torch.cat(gaps).min() < 3e-4 * best_sources.values[0] or best_sources.values[-1] <= 0


def search(seed: int, d_model: int, n_heads: int, d_vocab: int, head: int, n: int, k: int) -> tuple:
    """A model, a head, n tokens to search among, in no order and without `<BOS>`, and how many triples."""
    order = torch.randperm(d_vocab - 1, generator=torch.Generator().manual_seed(seed))
    return loud(seed, d_model, n_heads, d_vocab), head, 1 + order[:n], k


def sure_search(seed: int, *size: int) -> tuple:
    """A search that rounding does not settle."""
    cases = (search(s, *size) for s in seeds(seed, 300))
    return next(case for case in cases if not close_call(slow_raises(*case[:2]), *case[2:]))


def searches(seed: int) -> list[tuple]:
    """Four searches that tell all mistakes apart; in the last, a source that raises nothing must be named, too."""
    sizes = (12, 3, 20, 1, 12, 5), (10, 2, 17, 0, 11, 6), (16, 4, 22, 3, 13, 5), (11, 2, 15, 1, 4, 4)
    for attempt in seeds(seed, 50):
        cases = [sure_search(s, *size) for s, size in zip(seeds(attempt, len(sizes)), sizes)]
        answers = {str([wrong(*case) for case in cases]) for wrong in (slow_best, *(row[-1] for row in TOP))}
        if len(answers) > len(TOP):
            break
    return cases


def other_best(change, after=lambda triples, tokens: triples, keenest: bool = False):
    """The best triples if attention [destination source] and what it moves [source out] were other ones."""

    def wrong(model, head: int, tokens: Tensor, k: int) -> Tensor:
        qk, ov = circuits_of(model, head)
        scale, tied = math.sqrt(model.cfg.d_head), (model.W_E[:, None] @ model.OV[0, head].AB @ model.W_E.T)[:, 0]
        x = dict(qk=qk, log_odds=qk - qk[:, :1], ov=ov, centred=ov - ov.mean(1, keepdim=True), scale=scale)
        x |= dict(tied=tied.double() - tied.double().mean(1, keepdim=True), tokens=tokens)
        x |= dict(moved=x["centred"] - x["centred"][0], looks=x["log_odds"].sigmoid())
        x |= dict(raises=lambda looks, moved: looks.T[:, :, None] * moved[:, None], best=best)
        x |= change(x)
        raises = x["raises"](x["looks"], x["moved"])
        if keenest:
            raises = only_keenest(raises, x["looks"], x["moved"], tokens)
        return after(x["best"](raises, tokens, k), tokens)

    return wrong


def only_keenest(raises: Tensor, looks: Tensor, moved: Tensor, tokens: Tensor) -> Tensor:
    """Of each source only the triple with the destination that looks most and the out to which most is moved."""
    to, out = tokens[looks[tokens][:, tokens].argmax(0)], tokens[moved[tokens][:, tokens].argmax(1)]
    kept = torch.full_like(raises, -torch.inf)
    kept[tokens, to, out] = raises[tokens, to, out]
    return kept


def seen_too(x: dict) -> Tensor:
    """Attention to the source where the destination also looks at itself."""
    qk = x["qk"]
    return torch.stack([qk, *(column[:, None].expand_as(qk) for column in (qk[:, 0], qk.diagonal()))]).softmax(0)[0]


def never(first: int, second: int):
    """Raises of triples whose members at two places are one token made so low that they are never the best."""

    def change(x: dict) -> dict:
        """`raises` [source destination out], changed."""

        def raises(looks: Tensor, moved: Tensor) -> Tensor:
            """The raises, and -1e9 where the two are equal."""
            table = looks.T[:, :, None] * moved[:, None]
            return table.masked_fill(torch.eye(len(looks)).bool().unsqueeze(3 - first - second), -1e9)

        return {"raises": raises}

    return change


def best_outs(x: dict):
    """The best triples, outs being taken from the whole vocabulary."""
    return lambda raises, tokens, k: best_of_outs(raises[tokens][:, tokens], tokens, k)


def best_of_outs(among: Tensor, tokens: Tensor, k: int) -> Tensor:
    """The k best triples from raises [source destination out] that have all outs."""
    value, place = among.flatten(1).max(1)
    top = value.topk(k).indices
    n_outs = among.shape[2]
    return torch.stack([tokens[top], tokens[place[top] // n_outs], place[top] % n_outs], 1)


def best_of_all(raises: Tensor, tokens: Tensor, k: int) -> Tensor:
    """The k largest of all triples, more than one of a source allowed."""
    among = raises[tokens][:, tokens][:, :, tokens]
    return tokens[torch.stack(torch.unravel_index(among.flatten().topk(k).indices, among.shape), 1)]


def places(triples: Tensor, tokens: Tensor) -> Tensor:
    """Where in `tokens` each id stands."""
    return (triples[..., None] == tokens).int().argmax(-1)


TWICE = [
    ("W_Q and W_K are swapped: it is the destination that looks for the source", TABLES,
        lambda x: {"looks": (x["qk"].T - x["qk"].T[:, :1]).sigmoid()}),
    ("your scores miss the 1/√d_head", TABLES, lambda x: {"looks": (x["log_odds"] * x["scale"]).sigmoid()}),
    ("`<BOS>` is missing from the softmax: a score says nothing until it is set against another", TABLES,
        lambda x: {"looks": x["qk"].sigmoid()}),
    ("what `<BOS>` moves is forgotten: attention paid to the source is taken from `<BOS>`", SAY,
        lambda x: {"moved": x["centred"]}),
    ("not centred: a raise shared by the whole vocabulary changes no prediction", CHANCE,
        lambda x: {"moved": x["ov"] - x["ov"][0]}),
    ("outs were read off with W_E: embedding and unembedding are two matrices", MAP,
        lambda x: {"moved": x["tied"] - x["tied"][0]}),
]  # fmt: skip
ALSO = "; and once that is mended, the keenest destination is not always the best: largest, sign included"
TOP = [
    *((sentence, see, other_best(change)) for sentence, see, change in TWICE),
    *((sentence + ALSO, see, other_best(change, keenest=True)) for sentence, see, change in TWICE[:3]),
    ("attention is a share, not a log-odds: where is the softmax?", TABLES,
        other_best(lambda x: {"looks": x["log_odds"]})),
    ("the softmax runs over the whole vocabulary: only `<BOS>` and the source are there", TABLES,
        other_best(lambda x: {"looks": x["qk"].softmax(-1)})),
    ("the mean of a row is over the whole vocabulary, not over `tokens` alone", CHANCE,
        other_best(lambda x: {"moved": (m := x["ov"] - x["ov"][0]) - m[:, x["tokens"]].mean(1, keepdim=True)})),
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
    ("an out may be the source itself: that is a head that copies", TABLES, other_best(never(0, 2))),
    ("a destination may be the source itself", TABLES, other_best(never(0, 1))),
    ("the destination looks at itself: only `<BOS>` and the source are there", TABLES,
        other_best(lambda x: {"looks": seen_too(x)})),
    ("outs from the whole vocabulary: they too must be in `tokens`", TABLES, other_best(lambda x: {"best": best_outs(x)})),
    ("always the keenest destination: that makes a raise largest only where it is positive", SAY,
        other_best(lambda x: {}, keenest=True)),
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
    "hw3-3": Task("forced", 4, SAY, one_head.forests, judge=one_head.what_is_forced),
    "hw3-4": Task(
        "copied_contrast", 4, one_head.COPYING, one_head.spectra, one_head.slow_contrast,
        listed([(s, see, one_head.with_steps(w) if isinstance(w, dict) else w) for s, see, w in one_head.CONTRAST]),
    ),
}  # fmt: skip
