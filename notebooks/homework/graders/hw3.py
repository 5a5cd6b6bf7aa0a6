"""The tasks of homework 3: one layer's paths, skip-trigrams, what a head is forced to say, and what it copies."""

import itertools
import math

import torch
from torch import Tensor

from graders import hw3_contrast, hw3_forced, hw3_triples
from graders.hw3_models import MAP, PATHS, SAY, STEPS, TABLES, loud, seeds
from walkthrough.homework.task import Mistake, Task


def softmaxed(scores: Tensor, masked: bool = True, ahead: float = -math.inf) -> Tensor:
    """Patterns from scores, with the mask or without it; `ahead` is the score of what is masked."""
    future = torch.ones_like(scores).triu(1).bool() & masked
    return scores.masked_fill(future, ahead).softmax(-1)


# 1 votes


def prompts(seed: int) -> list[tuple]:
    """A model, a prompt with repeated tokens, before a position that is not its last and after, and two tokens of it."""
    cases = []
    sizes = [(12, 3, 14, 7), (10, 2, 11, 6)]
    for s, (d_model, n_heads, d_vocab, n_pos) in zip(seeds(seed, len(sizes)), sizes):
        generator = torch.Generator().manual_seed(s)
        ids = 1 + torch.randperm(d_vocab - 1, generator=generator)
        tokens, (rival, answer), position = (
            torch.cat([torch.tensor([0]), ids[: n_pos - 2], ids[1:2]]),
            ids[-2:],
            n_pos - 3,
        )
        tokens[2] = answer  # in the longer prompt; in the other, the rival stands there
        tokens[1] = tokens[position - 1] = rival
        cases.append((loud(s, d_model, n_heads, d_vocab), tokens, position, answer.item(), rival.item()))
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
        x |= dict(answer=answer, rival=rival, after=lambda votes: votes, tokens=tokens)
        x |= change(x)
        row = x["pattern"][:, x["at"]] if x["row"] is None else x["row"]
        heads = row * (x["stream"] @ x["OV"] @ x["to"])
        return x["after"](torch.cat([(x["here"] * (embed[position] @ x["to"]))[None], heads]))

    return wrong


def unplaced(x: dict) -> Tensor:
    """Patterns without positions."""
    return softmaxed((x["embed"] @ x["W_Q"]) @ (x["embed"] @ x["W_K"]).mT / x["W_Q"].shape[-1] ** 0.5)


def in_probabilities(x: dict) -> Tensor:
    """Votes as differences of probabilities, each path's logits put through a softmax of their own."""
    heads = (x["embed"] @ x["OV"] @ x["W_U"].double()) * x["pattern"][:, x["at"], :, None]
    direct = torch.zeros_like(heads[:1])
    direct[0, x["at"]] = x["embed"][x["at"]] @ x["W_U"].double()
    probs = torch.cat([direct, heads]).softmax(-1)
    return probs[..., x["answer"]] - probs[..., x["rival"]]


def against_bos(x: dict) -> dict:
    """Each source's vote less that of `<BOS>`, which gets the whole of its own."""

    def after(votes: Tensor) -> Tensor:
        """Votes again, from what each source says."""
        says = x["embed"] @ x["OV"] @ x["to"]
        relative = x["pattern"][:, x["at"]] * (says - says[:, :1])
        return torch.cat([votes[:1], torch.cat([says[:, :1], relative[:, 1:]], 1)])

    return {"after": after}


def at_last_places(x: dict) -> dict:
    """At every place of a token, the attention to the last of them."""
    row, ids = x["pattern"][:, x["at"]].clone(), x["tokens"][: x["at"] + 1].tolist()
    row[:, : len(ids)] = row[:, [len(ids) - 1 - ids[::-1].index(token) for token in ids]]
    return {"row": row}


def at_first_places(x: dict) -> dict:
    """Attention to the first place of each token, and none to its others."""
    ids = x["tokens"].tolist()
    return {"row": x["pattern"][:, x["at"]] * torch.tensor([ids.index(token) == i for i, token in enumerate(ids)])}


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
    ("a token that stands in several places has one vote of yours: each place is a source, with attention of its own", PATHS,
        at_last_places),
    ("a token that stands in several places votes at the first alone: each place is a source", PATHS, at_first_places),
    ("the answer's own token has no vote: it is a source like any other", PATHS,
        lambda x: {"row": x["pattern"][:, x["at"]] * (x["tokens"] != x["answer"])}),
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
    ("the scores of later tokens were set to 0, and a softmax gives a score of 0 its share: they must be −∞", STEPS,
        lambda x: {"pattern": softmaxed(x["scores"], ahead=0.0)}),
    ("later tokens were taken out after the softmax, so a row no longer sums to 1: mask the scores, with −∞", STEPS,
        lambda x: {"pattern": softmaxed(x["scores"], masked=False).tril()}),
    ("scores in place of a pattern: where is the softmax?", STEPS, lambda x: {"pattern": x["scores"].tril()}),
    ("your patterns miss the 1/√d_head", STEPS,
        lambda x: {"pattern": softmaxed(x["scores"] * x["W_Q"].shape[-1] ** 0.5)}),
    ("your scores are divided by √d_model: it is √d_head", STEPS, lambda x: {"pattern": softmaxed(
        x["scores"] * (x["W_Q"].shape[-1] / x["W_Q"].shape[-2]) ** 0.5)}),
    ("probabilities of single paths do not add up to anything: votes are in logits, before any softmax", PATHS,
        lambda x: {"after": lambda votes: in_probabilities(x)}),
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


def listed(rows: list[tuple]) -> tuple[Mistake, ...]:
    """Mistakes from (sentence, see, wrong)."""
    return tuple(itertools.starmap(Mistake, rows))


TASKS: dict[str, Task] = {
    "hw3-1": Task("votes", 4, PATHS, prompts, slow_votes, listed([(s, see, other_votes(w)) for s, see, w in VOTES])),
    "hw3-2": Task("best_skip_trigrams", 4, TABLES, hw3_triples.searches, hw3_triples.slow_best, listed(hw3_triples.TOP)),
    "hw3-3": Task("forced", 4, SAY, hw3_forced.forests, judge=hw3_forced.what_is_forced),
    "hw3-4": Task(
        "copied_contrast", 4, hw3_contrast.COPYING, hw3_contrast.spectra, hw3_contrast.slow_contrast,
        listed([(s, see, hw3_contrast.with_steps(w) if isinstance(w, dict) else w) for s, see, w in hw3_contrast.CONTRAST]),
    ),
}  # fmt: skip
