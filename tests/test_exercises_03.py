"""The checks of notebook 03 accept right answers written in other ways, and name each classic mistake."""

from functools import partial

import pytest
import torch
from einops import einsum, rearrange

from walkthrough import paths
from walkthrough.exercises import EXERCISES
from walkthrough.exercises.check import verdict


def right_pattern(resid, W_POS, W_Q, W_K):
    placed = resid + W_POS[: resid.shape[0]]
    scores = einsum(placed @ W_Q, placed @ W_K, "query d_head, key d_head -> query key") / W_Q.shape[1] ** 0.5
    weights = scores.exp() * torch.ones_like(scores).tril()
    return weights / weights.sum(1, keepdim=True)


def right_output(pattern, resid, W_V, W_O):
    return einsum(pattern, resid, W_V, W_O, "query key, key read, read d_head, d_head write -> query write")


def right_layer(pattern, resid, W_V, W_O):
    z = einsum(pattern, resid, W_V, "head query key, key read, head read d_head -> query head d_head")
    return z.flatten(1) @ W_O.flatten(0, 1)


def right_loudest(pattern, resid, W_OV):
    moved = einsum(pattern, resid, W_OV, "query key, key read, write read -> query key write")
    return moved.square().sum(2).max(1).indices


def right_freeze(patterns):
    def force(stored, pattern, hook):
        pattern[:] = stored

    return [(f"blocks.{layer}.attn.hook_pattern", partial(force, stored)) for layer, stored in enumerate(patterns)]


def right_matrix(A, W_V, W_O):
    whole = einsum(A, W_V, W_O, "query key, read d_head, d_head write -> query write key read")
    return rearrange(whole, "query write key read -> (query write) (key read)")


def right_virtual(resid, A1, W_V1, W_O1, A2, W_V2, W_O2):
    from_head_1 = A1 @ (resid @ W_V1) @ W_O1
    return (A2 @ from_head_1) @ (W_V2 @ W_O2)


RIGHT = {
    "3.1": right_pattern,
    "3.2": right_output,
    "3.3": right_layer,
    "3.4": right_loudest,
    "3.5": right_freeze,
    "3.6": right_matrix,
    "3.7": right_virtual,
}


def by_hand(resid, W_pos, W_Q, W_K, finish, diagonal=1, later=-torch.inf):
    """The scores, masked; what is done with them is the learner's."""
    placed = resid + W_pos[: len(resid)]
    scores = (placed @ W_Q) @ (placed @ W_K).T / W_Q.shape[-1] ** 0.5
    return finish(scores.masked_fill(torch.ones_like(scores).triu(diagonal).bool(), later))


def positions_on(resid, W_pos, W_Q, W_K, queries, keys):
    placed = resid + W_pos[: len(resid)]
    scores = ((placed if queries else resid) @ W_Q) @ ((placed if keys else resid) @ W_K).T / W_Q.shape[-1] ** 0.5
    return scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -torch.inf).softmax(-1)


def whole_table_of_positions(resid, W_pos, W_Q, W_K):
    return right_pattern(resid + W_pos, W_pos, W_Q, W_K)


def hooks_of(force, n_layers, point="pattern"):
    return [(f"blocks.{layer}.attn.hook_{point}", force) for layer in range(n_layers)]


def bound_too_late(patterns):
    hooks = []
    for layer, stored in enumerate(patterns):
        hooks.append((f"blocks.{layer}.attn.hook_pattern", lambda pattern, hook: stored.expand_as(pattern)))  # noqa: B023
    return hooks


def only_renamed(patterns):
    def force(pattern, hook):
        pattern = patterns[hook.layer()]  # noqa: F841

    return hooks_of(force, len(patterns))


def for_one_prompt_only(patterns):
    def force(pattern, hook):
        assert pattern.shape == patterns[hook.layer()].shape
        return patterns[hook.layer()]

    return hooks_of(force, len(patterns))


def forcing(change, **where):
    """An attempt at 3.5 whose hooks return something made of the stored patterns and the layer."""
    return lambda patterns: hooks_of(lambda pattern, hook: change(patterns, hook.layer()), len(patterns), **where)


GENERIC = [
    ("3.1", partial(by_hand, finish=lambda s: s.softmax(-1), diagonal=0), "the mask hides the diagonal, so the first row is nan"),
    ("3.1", partial(by_hand, finish=lambda s: s.softmax(-1), diagonal=0, later=-1e9), "the mask hides the diagonal: a token may"),
    ("3.1", partial(by_hand, finish=lambda s: s.exp() / s.exp().sum(-1)), "a sum without keepdim=True"),
    ("3.1", partial(by_hand, finish=lambda s: s.exp() / s.exp().sum()), "one softmax over the whole matrix"),
    ("3.1", partial(positions_on, queries=True, keys=False), "positions on the queries only"),
    ("3.1", partial(positions_on, queries=False, keys=True), "positions on the keys only"),
    ("3.1", whole_table_of_positions, "W_pos has a row for each position of the longest prompt"),
    ("3.1", lambda *case: right_pattern(*case)[None], "an axis of length 1"),
    ("3.1", lambda *case: 2 * right_pattern(*case), "constant factor 2"),
    ("3.2", lambda *case: -right_output(*case), "the sign is flipped"),
    ("3.2", lambda *case: right_output(*case)[1:], "wrong shape"),
    ("3.3", lambda *case: right_layer(*case).T, "transposed"),
    ("3.3", lambda *case: right_layer(*case).sum(-1), "sum over axis 1"),
    ("3.4", lambda a, x, w: (a * (x @ w.T).norm(dim=-1)[:, None]).argmax(-1), "a length for each query changes nothing"),
    ("3.4", lambda a, x, w: (a * (x @ w.T).norm(dim=-1, p=1)).argmax(-1), "the L1 norm"),
    ("3.4", lambda a, x, w: (a * (x @ w.T).norm(dim=-1, p=torch.inf)).argmax(-1), "largest single entry"),
    ("3.4", lambda *case: right_loudest(*case) + 1, "the values differ"),
    ("3.4", lambda *case: right_loudest(*case)[1:], "wrong shape"),
    ("3.5", lambda patterns: patterns, "return a list of pairs"),
    ("3.5", lambda patterns: dict(right_freeze(patterns)), "return a list of pairs"),
    ("3.5", lambda patterns: right_freeze(patterns)[0], "return a list of pairs"),
    ("3.5", lambda patterns: [pair[::-1] for pair in right_freeze(patterns)], "the name of the hook comes first"),
    ("3.5", lambda patterns: [(name, patterns[0]) for name, _ in right_freeze(patterns)], "the name of the hook comes first"),
    ("3.5", lambda patterns: right_freeze(patterns)[:1], "1 of 2 layers have a hook: there is none on 'blocks.1.attn"),
    ("3.5", lambda patterns: right_freeze(patterns[:1] * 3)[: max(2, len(patterns))], "layer"),
    ("3.5", lambda patterns: hooks_of(lambda x, hook: x, len(patterns), "attn_scores"), "those are the scores"),
    ("3.5", lambda patterns: hooks_of(lambda x, hook: x, len(patterns), "z"), "what the heads move as well"),
    ("3.5", lambda patterns: hooks_of(lambda x: x, len(patterns)), "a second argument, called hook"),
    ("3.5", lambda patterns: hooks_of(lambda x, where: x, len(patterns)), "a second argument, called hook"),
    ("3.5", lambda patterns: hooks_of(lambda x, hook: 1 / 0, len(patterns)), "stopped with ZeroDivisionError"),
    ("3.5", only_renamed, "the run is as it was without hooks"),
    ("3.5", bound_too_late, "every layer got the pattern of the last one"),
    ("3.5", forcing(lambda patterns, layer: patterns[0]), "every layer got the pattern of layer 0"),
    ("3.5", forcing(lambda patterns, layer: patterns[-1 - layer]), "the layers are in the wrong order"),
    ("3.5", forcing(lambda patterns, layer: patterns[layer].mT), "the patterns are transposed"),
    ("3.5", forcing(lambda patterns, layer: patterns[layer] / 2), "layer 0 used another pattern"),
    ("3.5", for_one_prompt_only, "must serve a batch"),
    ("3.5", lambda patterns: right_freeze([*patterns, *patterns]), "patterns were given for 2 layer"),
    ("3.6", lambda *case: -right_matrix(*case), "the sign is flipped"),
    ("3.6", lambda a, v, o: torch.kron(a, v), "wrong shape"),
    ("3.7", lambda *case: right_virtual(*case) / 3, "constant factor 0.33"),
    ("3.7", lambda *case: right_virtual(*case).T, "transposed"),
    ("3.7", lambda *case: right_virtual(*case).roll(-1, 0), "off by one along axis 0"),
    *((label, lambda *case: None, "returned None") for label in RIGHT),
]  # fmt: skip


def virtual_in_two_steps(resid, A1, W_V1, W_O1, A2, W_V2, W_O2):
    return paths.head_output(A2, paths.head_output(A1, resid, W_V1, W_O1), W_V2, W_O2)


def virtual_at_once(resid, A1, W_V1, W_O1, A2, W_V2, W_O2):
    return paths.virtual_pattern(A1, A2) @ resid @ W_V1 @ W_O1 @ W_V2 @ W_O2


def forced_by_a_filter(patterns):
    force = lambda pattern, hook: patterns[hook.layer()].expand_as(pattern)
    return [(lambda name: name.endswith("attn.hook_pattern"), force)]


def broadcast(patterns):
    return hooks_of(lambda pattern, hook: patterns[hook.layer()], len(patterns))


@pytest.mark.parametrize(
    ("label", "answer"),
    [
        ("3.1", paths.attention_pattern),
        ("3.1", partial(by_hand, finish=lambda s: s.softmax(-1), later=-1e9)),
        ("3.2", paths.head_output),
        ("3.3", paths.layer_output),
        ("3.5", paths.freeze),
        ("3.5", forced_by_a_filter),
        ("3.5", broadcast),
        ("3.7", virtual_in_two_steps),
        ("3.7", virtual_at_once),
    ],
)
def test_the_functions_of_the_package_and_other_ways_are_right_too(label, answer):
    result = verdict(label, answer)
    assert (result.mark, result.sentence) == ("✓", "right")


@pytest.mark.parametrize("label", ["3.1", "3.2", "3.3", "3.4", "3.6", "3.7"])
def test_every_case_tells_every_mistake_from_the_others(label):
    """No two sentences stand for one answer, so that the one that is said is the one that fits."""
    exercise = EXERCISES[label]
    answers = {
        sentence: [mistake(*case) for case in exercise.cases()] for sentence, mistake in exercise.mistakes.items()
    }
    for sentence, mine in answers.items():
        for other, theirs in answers.items():
            alike = all(
                a.shape == b.shape and torch.allclose(a.double(), b.double(), equal_nan=True)
                for a, b in zip(mine, theirs)
            )
            assert alike == (sentence == other), (sentence, other)
