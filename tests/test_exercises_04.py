"""The checks of notebook 04 accept right answers written in other ways, and name each classic mistake."""

import torch
from einops import einsum

from walkthrough import models, paths
from walkthrough.circuits import ov_circuit, qk_circuit
from walkthrough.exercises.part_04 import EXERCISES


def right_by_source(tokens, pattern, W_E, W_V, W_O, W_U):
    axes = "head query key, key read, head read d_head, head d_head write -> query key write"
    moved = einsum(pattern, W_E[tokens], W_V, W_O, axes)
    here = torch.arange(len(tokens))
    moved[here, here] += W_E[tokens]
    return moved @ W_U


def right_shift(frequency, offset):
    R, angle = torch.zeros(2 * len(frequency), 2 * len(frequency)), frequency * offset
    R[::2, ::2] = R[1::2, 1::2] = torch.diag(angle.cos())
    R[::2, 1::2] = torch.diag(angle.sin())
    R[1::2, ::2] = -torch.diag(angle.sin())
    return R


def right_qk(W_E, W_Q, W_K, share):
    from_average = W_E - share @ W_E
    return einsum(W_E @ W_Q, from_average @ W_K, "query d_head, key d_head -> query key") / W_Q.shape[1] ** 0.5


def right_ov(W_E, W_V, W_O, W_U):
    return (W_E @ W_V) @ (W_O @ (W_U - W_U.mean(1, keepdim=True)))


RIGHT = {"4.1": right_by_source, "4.2": right_shift, "4.3": right_qk, "4.4": right_ov}


GENERIC = [
    ("4.1", lambda *case: 2 * right_by_source(*case), "constant factor 2"),
    ("4.1", lambda t, a, e, v, o, u: right_by_source(t, a, e, v, o, torch.eye(len(u))), "wrong shape"),
    ("4.1", lambda *case: right_by_source(*case).roll(1, 1), "off by one along axis 1"),
    ("4.1", lambda t, a, e, v, o, u: e[t] @ v @ u, "your code stopped with RuntimeError"),
    ("4.2", lambda f, k: right_shift(f, k)[:-1], "wrong shape"),
    ("4.2", lambda f, k: right_shift(f, k - 1), "the values differ"),
    ("4.2", lambda f, k: -right_shift(f, k), "the sign is flipped"),
    ("4.3", lambda *case: -right_qk(*case), "the sign is flipped"),
    ("4.3", lambda *case: 3 * right_qk(*case), "constant factor 3"),
    ("4.3", lambda *case: right_qk(*case)[1:], "wrong shape"),
    ("4.4", lambda *case: right_ov(*case) / 3, "constant factor 0.33"),
    ("4.4", lambda *case: right_ov(*case)[:, 1:], "wrong shape"),
    ("4.4", lambda e, v, o, u: e @ o @ v @ u, "your code stopped with RuntimeError"),
    *((label, lambda *case: None, "returned None") for label in RIGHT),
]


def test_answers_hold_for_a_model_and_not_only_for_random_weights():
    """By source: summed over keys, the model's logits. Shifted: the model's own positions. Both circuits: its tables."""
    model = models.tiny(1, seed=4).double()
    tokens = torch.tensor([[0, 5, 9, 5, 33, 12]])
    logits, cache = model.run_with_cache(tokens)
    weights = model.W_E, model.W_V[0], model.W_O[0], model.W_U
    added = EXERCISES["4.1"].oracle(tokens[0], cache["pattern", 0][0], *weights)
    torch.testing.assert_close(added.sum(1).double(), logits[0], rtol=1e-4, atol=1e-5)
    frequency = torch.pi * torch.logspace(0, -torch.tensor(32).log10().item(), 16)
    torch.testing.assert_close(model.W_pos[3:].float() @ right_shift(frequency, 3), model.W_pos[:-3].float())
    only_bos = torch.eye(64)[0].double()
    table = qk_circuit(model, 0, 2).AB
    found = right_qk(model.W_E, model.W_Q[0, 2], model.W_K[0, 2], only_bos)
    torch.testing.assert_close(found, table - table[:, :1])
    table = ov_circuit(model, 0, 2).AB
    found = right_ov(model.W_E, model.W_V[0, 2], model.W_O[0, 2], model.W_U)
    torch.testing.assert_close(found, table - table.mean(1, keepdim=True))


def test_the_paths_of_the_notebook_are_the_sources_summed_the_other_way():
    model = models.tiny(1, seed=4).double()
    tokens = torch.tensor([[0, 5, 9, 5, 33, 12]])
    pattern = model.run_with_cache(tokens)[1]["pattern", 0][0]
    terms = paths.path_expansion(model, tokens)
    for head in range(4):
        sources = right_by_source(
            tokens[0], pattern[[head]], model.W_E, model.W_V[0, [head]], model.W_O[0, [head]], model.W_U
        )
        torch.testing.assert_close(sources.sum(1), (terms["direct"] + terms[f"0:{head}"])[0])
