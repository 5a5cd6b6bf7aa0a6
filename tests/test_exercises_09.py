"""The checks of notebook 09 accept right answers written in other ways, and name each classic mistake."""

import pytest
import torch

from walkthrough import interventions, paths
from walkthrough.behaviour import loss_per_position
from walkthrough.exercises import EXERCISES
from walkthrough.exercises.check import verdict
from walkthrough.two_layers import handmade, induction, matching


def right_corner(W_E, W_U, first, later):
    (W_V1, W_O1), (W_Q, W_K, W_V, W_O) = first, later
    centred = W_U - W_U.mean(1, keepdim=True)  # the rows of any table that ends in W_U lose their means with it
    small = [W_O @ centred @ W_E @ W_V, (W_E @ W_V1 @ W_O1 @ W_K).T @ W_E @ W_Q]  # λ(AB) = λ(BA)
    return tuple((m.trace() / torch.linalg.eigvals(m).abs().sum()).item() for m in small)


def right_change(model, tokens, head):
    logits, cache = model.run_with_cache(tokens)
    frozen = paths.freeze([cache["pattern", layer] for layer in range(model.cfg.n_layers)])
    without = model.run_with_hooks(tokens, fwd_hooks=frozen + interventions.ablate(model, [head]))
    return (loss_per_position(without[:, :-1], tokens) - loss_per_position(logits[:, :-1], tokens)).mean(1)


def right_embedding(model):
    """From a run on a prompt of one repeated token, where every position sees the same vector: all patterns agree."""
    tokens = torch.randint(1, model.cfg.d_vocab, (8, 50))
    own = model.run_with_cache(tokens)[1]["pattern", 0].diagonal(dim1=-2, dim2=-1)[:, :, 2:].mean((0, 2)) > 0.5
    alone = torch.arange(model.cfg.d_vocab)[:, None]  # each token as a prompt of its own looks at nothing else
    z = model.run_with_cache(alone)[1]["z", 0][:, 0]
    return model.W_E + torch.einsum("thd,hdm->tm", z[:, own], model.W_O[0][own])


def right_two_tokens(model, query_head, key_head, later):
    W = model.OV[query_head] @ model.QK[later] @ model.OV[key_head].T
    return model.W_E @ W @ model.W_E.T * model.cfg.d_head**-0.5


def axes_of(W_E, W_pos):
    d_vocab, n_ctx = len(W_E), len(W_pos)
    return torch.eye(W_E.shape[1]).split((d_vocab, d_vocab, d_vocab, n_ctx), dim=1)  # token, free, out, place


def right_by_hand(W_E, W_pos, W_U, back=1, large=1000.0):
    token, free, out, place = axes_of(W_E, W_pos)
    previous = (large * place.roll(-back, 1), place, token, free.T)
    return [previous, (large * token, free, token, out.T)]


def right_in_another_basis(W_E, W_pos, W_U):
    """Scales in the keys, tokens shelved in random directions of a wider head, positions by a rule instead of a roll."""
    token, free, _, place = axes_of(W_E, W_pos)
    d_vocab, n_ctx = len(W_E), len(W_pos)
    turn = torch.linalg.qr(torch.randn(d_vocab, d_vocab)).Q
    back = torch.zeros(n_ctx, n_ctx)
    for i in range(1, n_ctx):
        back[i, i - 1] = 1
    previous = (place @ back, 900 * place, token @ turn, 2 * free.T)
    padding = torch.zeros(len(token), 3)
    later = (torch.cat([token @ turn, padding], 1), torch.cat([800 * free, padding], 1), 7 * W_E.T, W_U.T)
    return [previous, later]


def right_with_lists(W_E, W_pos, W_U):
    return [[W.tolist() for W in head] for head in right_in_another_basis(W_E, W_pos, W_U)]


RIGHT = {
    "9.1": right_corner,
    "9.2": right_embedding,
    "9.3": right_change,
    "9.4": right_two_tokens,
    "9.5": right_by_hand,
}


def copier(W_E, W_pos, W_U):
    """Both heads look a fixed way back: right for one length of copies only."""
    token, _, out, place = axes_of(W_E, W_pos)
    fixed = (1000 * place.roll(1 - (len(W_pos) - 1) // 2, 1), place, token, out.T)
    return [tuple(0 * W for W in fixed), fixed]


def in_shelf_order(W_E, W_pos, W_U, change):
    (q1, k1, v1, o1), (q2, k2, v2, o2) = right_by_hand(W_E, W_pos, W_U)
    token, free, _, _ = axes_of(W_E, W_pos)
    return {
        "matches itself": [(q1, k1, v1, o1), (q2, token, v2, o2)],
        "moves the shelf": [(q1, k1, v1, o1), (q2, k2, free, o2)],
        "writes where nothing reads": [(q1, k1, v1, o1), (q2, k2, v2, free.T)],
        "does not shift": [(k1, k1, v1, o1), (q2, k2, v2, o2)],
        "other axes": [(q1, k1, v1, o1), (q2, free.roll(1, 0), v2, o2)],
        "one head": [(q2, k2, v2, o2)],
        "transposed": [(q1.T, k1, v1, o1), (q2, k2, v2, o2)],
        "not finite": [(q1 * torch.inf, k1, v1, o1), (q2, k2, v2, o2)],
    }[change]


def after(change):
    return lambda *case: in_shelf_order(*case, change)


def softer(W_E, W_pos, W_U, first, second, change=None):
    """The right heads, or changed ones, with the queries of each times a number."""
    heads = in_shelf_order(W_E, W_pos, W_U, change) if change else right_by_hand(W_E, W_pos, W_U)
    (q1, *rest), (q2, *later) = heads
    return [(first * q1, *rest), (second * q2, *later)]


GENERIC = [
    ("9.1", lambda *case: [-x for x in right_corner(*case)], "the sign is flipped"),
    ("9.1", lambda *case: right_corner(*case)[0], "wrong shape"),
    ("9.2", lambda model: right_embedding(model).T, "transposed"),
    ("9.2", lambda model: right_embedding(model)[:, :5], "wrong shape"),
    ("9.2", lambda model: right_embedding(model) - model.W_E.mean(0), "the values differ"),
    ("9.4", lambda *case: right_two_tokens(*case).AB.T, "transposed"),
    ("9.4", lambda *case: 3 * right_two_tokens(*case).AB, "off by the constant factor 3"),
    ("9.4", lambda m, a, b, c: right_two_tokens(m, a, c, b), "the values differ"),
    ("9.3", lambda *case: right_change(*case)[:, None], "axis of length 1"),
    ("9.3", lambda m, t, h: right_change(m, t, (5, 0)), "there is no layer 5"),
    ("9.5", copier, "it copies from a fixed distance"),
    ("9.5", after("matches itself"), "the earlier copy of the present token, not at the token after it"),
    ("9.5", after("moves the shelf"), "see its W_V and W_O"),
    ("9.5", after("writes where nothing reads"), "see its W_V and W_O"),
    ("9.5", after("does not shift"), "the earlier copy of the present token"),
    ("9.5", after("other axes"), "in the same free axes"),
    ("9.5", after("one head"), "yours hold [4]"),
    ("9.5", after("transposed"), "W_Q, W_K and W_V should be"),
    ("9.5", after("not finite"), "nan or infinity"),
    ("9.5", lambda *case: right_by_hand(*case, large=1.0), "attention too soft"),
    ("9.5", lambda *case: right_by_hand(*case, large=4.0), "attention too soft"),
    ("9.5", lambda *case: softer(*case, first=2 / 1000, second=1), "attention too soft"),
    ("9.5", lambda *case: softer(*case, first=1, second=3 / 1000), "right idea, attention too soft"),
    ("9.5", lambda *case: softer(*case, first=1, second=3 / 1000, change="moves the shelf"), "attention too soft"),
    ("9.5", lambda *case: softer(*case, first=1, second=3 / 1000, change="matches itself"), "the earlier copy of the"),
    ("9.5", lambda *case: softer(*case, first=1, second=3 / 1000, change="other axes"), "in the same free axes"),
    ("9.5", lambda *case: softer(*case, first=2 / 1000, second=1, change="other axes"), "then see what the second"),
    ("9.5", lambda *case: right_by_hand(*case, back=2), "of its attention to the token just before"),
    ("9.5", lambda *case: 3, "return two heads, each of four matrices"),
    *((label, lambda *case: None, "returned None") for label in RIGHT),
]


@pytest.mark.parametrize("answer", [right_in_another_basis, right_with_lists])
def test_any_induction_head_is_accepted(answer):
    assert verdict("9.5", answer).mark == "✓"


def test_the_copier_would_have_passed_if_all_copies_were_equally_long():
    W_E, W_pos, W_U = handmade.bench(21, 41)
    tokens = torch.cat([torch.zeros(1, dtype=torch.long), 1 + torch.randperm(20).repeat(2)])
    logits, _ = handmade.run_heads(tokens[None], W_E, W_pos, W_U, copier(W_E, W_pos, W_U))
    assert torch.equal(logits[0, 21:-1].argmax(-1), tokens[22:])


@pytest.mark.parametrize("scale", [0.02, 0.05, 1.0, 30.0])
def test_attention_that_is_soft_but_soft_in_the_right_place_is_accepted_or_told_so(scale):
    result = verdict("9.5", lambda *case: softer(*case, first=scale, second=scale))
    assert result.mark == "✓" or "too soft" in result.sentence


def test_the_model_of_the_embedding_s_check_has_own_token_heads_and_others():
    for (model,) in EXERCISES["9.2"].cases():
        assert 0 < len(induction.own_token_heads(model)) < model.cfg.n_heads


def test_centring_columns_gives_the_same_eigenvalues_as_centring_rows():
    """λ(MC) = λ(CM): not a mistake that the check could see, nor one that changes the answer."""

    def by_columns(W_E, W_U, first, later):
        OV = W_E @ later[2] @ later[3] @ W_U
        eigenvalues = torch.linalg.eigvals((OV - OV.mean(0)).double())
        return (eigenvalues.sum().real / eigenvalues.abs().sum()).item(), right_corner(W_E, W_U, first, later)[1]

    assert verdict("9.1", by_columns).mark == "✓"


def test_the_package_s_functions_are_right_answers():
    assert verdict("9.2", induction.effective_embedding).mark == "✓"
    assert verdict("9.4", matching.two_token_circuit).mark == "✓"
