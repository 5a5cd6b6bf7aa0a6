"""Homework 5, tasks 3 and 4: what a student says of the sixth model, held against what the model does.

No answer is stored here: the words that are claimed are put into random text, and the claimed head is deleted.
"""

import functools
import itertools
from typing import Any

import torch
from torch import Tensor

from graders.hw5_behaviour import Pair, Text, after, heads_at, loaded, moved
from walkthrough import behaviour, models

PAIR = {"head": "0:0", "sources": [" def"], "triggers": [")"]}  # the form as the notebook shows it, in another order
TABLE = {")": {" def": [":"]}}
MOST = 60  # words, or rows, in a claim: each is tried in runs
LEAST, FEW, CALLED, NOT_CALLED = 0.4, 4, 0.25, 0.15  # brought probability; sources; mean probability of a word


class Refused(Exception):
    """What is wrong with a claim, in one sentence."""


def ids_of(words: Any) -> list[int]:
    """Token ids of a list of words (or of ids); Refused if one is no token."""
    model = loaded()[0]
    words = [words] if isinstance(words, str | int) else words
    if not isinstance(words, list | tuple) or not all(isinstance(word, str | int) for word in words):
        raise Refused("words are asked for as a list of texts, one token each")
    if len(words) > MOST:
        raise Refused(f"{len(words)} words are no finding: name the few that stand out")
    found = []
    for word in words:
        text = model.to_string(word) if isinstance(word, int) and 0 < word < model.cfg.d_vocab else str(word)
        try:
            found.append(model.to_single_token(text))
        except ValueError:
            hint = "give each with the space that it has in running text" if is_token(" " + text) else "look again"
            raise Refused(f"one of your words is not one token of this model: {hint}") from None
    return list(dict.fromkeys(found))


def is_token(text: str) -> bool:
    """Whether a text is exactly one token."""
    return len(loaded()[0].to_tokens(text, prepend_bos=False)[0]) == 1


def spaced(pairs: list[Pair]) -> list[Pair]:
    """The same pairs with a space before each word that has none and is a token with it."""
    model = loaded()[0]
    more = lambda token: (
        model.to_single_token(text) if is_token(text := " " + model.to_string(token).strip()) else token
    )
    return [(more(source), more(trigger)) for source, trigger in pairs]


def works(text: Text, pairs: list[Pair]) -> Tensor:
    """Which pairs the model has a rule for, and the controls have not."""
    ours = moved(0, text, pairs)
    if (ours < LEAST).all():
        return ours >= LEAST
    return (ours >= LEAST) & (torch.maximum(moved(1, text, pairs), moved(2, text, pairs)) < ours / 2)


def check_pairs(text: Text, sources: list[int], triggers: list[int]) -> None:
    """Refused unless each source tells, before each trigger, what comes next: here, and not in the controls."""
    pairs = [(source, trigger) for trigger in triggers for source in sources]
    right, ours = works(text, pairs).view(len(triggers), len(sources)), moved(0, text, pairs)
    if not right.any() and spaced(pairs) != pairs and works(text, spaced(pairs)).any():
        raise Refused("a word without the space before it is another token: the text had the one with the space")
    if moved(0, text, [pair[::-1] for pair in pairs]).mean() >= LEAST > ours.mean():
        raise Refused("trigger and source are exchanged: the trigger comes last, the source anywhere before it")
    if right.all():
        return
    theirs = torch.maximum(moved(1, text, pairs), moved(2, text, pairs))
    if not right.any() and ((theirs >= ours / 2) & (ours > 0.2)).any():
        raise Refused("the controls do as much: what any model learns from ordinary code was not planted")
    if not right.any():
        raise Refused("your source makes next to no difference: behind your trigger the model says much the same with a "
                      "random token in the source's place")  # fmt: skip
    if right.any(1).all() and not right.any(0).all():
        raise Refused("one of your sources is none: a random token in its place does the same behind your triggers")
    raise Refused("one of your triggers is none: what comes behind it does not depend on all of your sources")


@functools.cache
def odd_ones() -> list[int]:
    """The tokens after which the model says other things than both controls, by its direct path alone."""
    ours, *theirs = ((m.W_E @ m.W_U).log_softmax(-1) for m in loaded())
    return torch.stack([(ours.exp() * (ours - other)).sum(-1) for other in theirs]).amin(0).topk(8).indices.tolist()


def check_complete(text: Text, sources: list[int], triggers: list[int]) -> None:
    """Refused if the claim has too few sources, or if another token is a trigger for them, too."""
    if len(sources) < FEW:
        raise Refused(f"too few sources: there are more, and at least {FEW} were asked for")
    others = [token for token in odd_ones() if token not in triggers]
    if any(works(text, [(source, token) for source in sources[:FEW]]).all() for token in others):
        raise Refused("a trigger is missing: another token uses your sources as well")


def head_of(claim: Any) -> tuple[int, int]:
    """(layer, head) of "1:2", [1, 2] or [[1, 2]]; Refused if it is none of this model."""
    if isinstance(claim, list | tuple) and len(claim) == 1:
        claim = claim[0]
    try:
        layer, head = (int(x) for x in (claim.split(":") if isinstance(claim, str) else claim))
        models.check_head(loaded()[0], layer, head)
    except (TypeError, ValueError):
        raise Refused("the head is none of this model: name one as in '0:3', layer before head, each from 0") from None
    return layer, head


def check_head(text: Text, sources: list[int], triggers: list[int], claim: tuple[int, int]) -> None:
    """Refused unless the claimed head looks from the trigger at the source, and is missed when it is deleted."""
    every = [heads_at(text, source, trigger) for trigger in triggers for source in sources[:2]]
    costs, looks = (torch.stack(rows).mean(0) for rows in zip(*every))
    cost, look, name = costs[claim], looks[claim], f"{claim[0]}:{claim[1]}"
    if look > 0.5 and cost > 0.4:
        return
    if look > 0.3:
        raise Refused(f"{name} looks at the source, but writes little: without it the model says much the same")
    model = loaded()[0]
    twice = behaviour.repeated_tokens(model.cfg.d_vocab, 20, 2, 8)
    pattern = model.run_with_cache(twice)[1]["pattern", claim[0]]
    if behaviour.previous_token_score(pattern)[claim[1]] > 0.5:
        raise Refused(f"{name} is the previous-token head: it looks one back, whatever stands there")
    if behaviour.prefix_matching_score(pattern, 20)[claim[1]] > 0.4:
        raise Refused(f"{name} is an induction head, such as any model of this shape has: nothing is repeated here")
    if cost > 0.25:
        raise Refused(f"{name} is missed, but never looks from the trigger at the source")
    raise Refused(f"{name} neither looks at the source nor is missed where the source stands")


def judged(check):
    """A judge for `Task`: the sentence of a refusal, or None."""

    @functools.wraps(check)
    def judge(answer: Any, seed: int, length: int) -> str | None:
        try:
            return check(answer, (seed, length))
        except Refused as reason:
            return str(reason)

    return judge


@judged
def finding(answer: Any, text: Text) -> None:
    """Refused unless triggers, sources and head are what the model's own behaviour says."""
    if not isinstance(answer, dict) or not {"triggers", "sources", "head"} <= set(answer):
        raise Refused("not of the form that was asked for: a dict with triggers, sources and head")
    if {key: answer[key] for key in PAIR} == PAIR:
        raise Refused("this is the example of the form, which is ordinary code")
    sources, triggers = ids_of(answer["sources"]), ids_of(answer["triggers"])
    if not sources or not triggers:
        raise Refused("nothing is claimed: name at least one trigger and the sources that belong to it")
    check_pairs(text, sources, triggers)
    check_complete(text, sources, triggers)
    check_head(text, sources, triggers, head_of(answer["head"]))


@judged
def rules(answer: Any, text: Text) -> None:
    """Refused unless each claimed pair calls for just the words that it is said to call for."""
    if not isinstance(answer, dict) or not all(isinstance(row, dict) for row in answer.values()):
        raise Refused("not of the form that was asked for: a dict of triggers, in it dicts of sources, in these lists")
    if answer == TABLE:
        raise Refused("this is the example of the form, which is ordinary code")
    if sum(map(len, answer.values())) > MOST or len(answer) > MOST:
        raise Refused(f"more than {MOST} rows are no finding: name the few pairs that stand out")
    said = {(ids_of(source)[0], ids_of(trigger)[0]): ids_of(words)
            for trigger, row in answer.items() for source, words in row.items()}  # fmt: skip
    if not said:
        raise Refused("nothing is claimed: fill the table in")
    sources, triggers = (list(dict.fromkeys(pair[side] for pair in said)) for side in (0, 1))
    check_pairs(text, sources, triggers)
    check_words(text, said)
    if any(len([pair for pair in said if pair[1] == trigger]) < FEW for trigger in triggers):
        raise Refused(f"too few rows: at least {FEW} sources were asked for, for each trigger")
    check_complete(text, sources, triggers)


def check_words(text: Text, said: dict[Pair, list[int]]) -> None:
    """Refused unless each pair's words are those that get a good share of the probability; says in which way not."""
    pairs, alone = list(said), [(None, trigger) for _, trigger in said]
    with_it, without = after(0, text, pairs), after(0, text, alone)
    likely = [set((row > CALLED).nonzero()[:, 0].tolist()) for row in with_it]
    extra = [(i, word) for i, pair in enumerate(pairs) for word in said[pair] if with_it[i, word] < NOT_CALLED]
    complete = all(words <= set(said[pair]) for pair, words in zip(pairs, likely))
    if not extra and complete:
        return
    if not extra:
        tables = {
            trigger: {source: set(words) for (source, t), words in said.items() if t == trigger} for _, trigger in said
        }
        rows = [(a[x], b[x]) for a, b in itertools.combinations(tables.values(), 2) for x in a if x in b]
        if all(said.values()) and sum(one != other for one, other in rows) > len(rows) / 2:
            raise Refused("your table tells the triggers apart: does the model? Look at all that is likely behind each")
        raise Refused("only part of it: other words get as much of the probability as yours")
    alike = all(without[i, word] > 0.05 for i, word in extra)
    if complete and alike and len(extra) > len(pairs):
        raise Refused("the trigger calls for all of these whatever the source: with your source, some become unlikely")
    if any(word == pairs[i][0] for i, word in extra):
        raise Refused("a source is said to call for itself: this is no copying, the source becomes less likely")
    if all(with_it[i, spaced([(word, word)])[0][0]] > CALLED for i, word in extra):
        raise Refused("words without the space before them are other tokens: the model calls for those with the space")
    if alike:
        raise Refused("words of the right kind, at the wrong sources: each source has its own")
    ordinary = [after(control, text, alone).topk(50).indices for control in (1, 2)]
    if all(any(word in found[i] for found in ordinary) for i, word in extra):
        raise Refused("these follow the trigger in ordinary code, as in the controls: here they are unlikely")
    raise Refused("some of your words are unlikely behind your trigger, with the source as without")
