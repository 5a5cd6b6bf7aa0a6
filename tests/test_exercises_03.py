"""The checks of notebook 03 accept right answers written in other ways, and name each classic mistake."""

import torch
from einops import einsum, rearrange

from walkthrough import paths
from walkthrough.exercises.check import verdict


def right_patterns(resid, W_POS, W_Q, W_K):
    placed = resid + W_POS[: resid.shape[0]]
    q = einsum(placed, W_Q, "query d_model, head d_model d_head -> head query d_head")
    k = einsum(placed, W_K, "key d_model, head d_model d_head -> head key d_head")
    causal = torch.ones(len(resid), len(resid)).tril()
    weights = torch.exp(q @ k.transpose(1, 2) / W_Q.shape[2] ** 0.5) * causal
    return weights / weights.sum(2, keepdim=True)


def right_loudest(pattern, resid, W_OV):
    moved = einsum(pattern, resid, W_OV, "query key, key read, write read -> query key write")
    return moved.square().sum(2).max(1).indices


def right_matrix(A, W_V, W_O):
    whole = einsum(A, W_V, W_O, "query key, read d_head, d_head write -> query write key read")
    return rearrange(whole, "query write key read -> (query write) (key read)")


def right_virtual(resid, A1, W_V1, W_O1, A2, W_V2, W_O2):
    from_head_1 = A1 @ (resid @ W_V1) @ W_O1
    return (A2 @ from_head_1) @ (W_V2 @ W_O2)


RIGHT = {"3.1": right_patterns, "3.2": right_loudest, "3.3": right_matrix, "3.4": right_virtual}


def masked_one_too_far(resid, W_pos, W_Q, W_K):
    placed = resid + W_pos[: len(resid)]
    scores = (placed @ W_Q) @ (placed @ W_K).mT / W_Q.shape[-1] ** 0.5
    return scores.masked_fill(torch.ones_like(scores).triu().bool(), -torch.inf).softmax(-1)


def whole_table_of_positions(resid, W_pos, W_Q, W_K):
    return right_patterns(resid + W_pos, W_pos, W_Q, W_K)


GENERIC = [
    ("3.1", masked_one_too_far, "nan"),
    ("3.1", whole_table_of_positions, "your code stopped with RuntimeError"),
    ("3.1", lambda *case: right_patterns(*case)[0], "wrong shape"),
    ("3.1", lambda *case: right_patterns(*case).permute(1, 2, 0), "wrong shape"),
    ("3.1", lambda *case: 2 * right_patterns(*case), "constant factor 2"),
    ("3.2", lambda *case: right_loudest(*case) + 1, "the values differ"),
    ("3.2", lambda *case: right_loudest(*case)[1:], "wrong shape"),
    ("3.3", lambda *case: -right_matrix(*case), "the sign is flipped"),
    ("3.3", lambda a, v, o: torch.kron(a, v), "wrong shape"),
    ("3.4", lambda *case: right_virtual(*case) / 3, "constant factor 0.33"),
    ("3.4", lambda *case: right_virtual(*case).T, "transposed"),
    ("3.4", lambda *case: right_virtual(*case).roll(-1, 0), "off by one along axis 0"),
    *((label, lambda *case: None, "returned None") for label in RIGHT),
]


def test_the_functions_of_the_notebook_are_right_answers_too():
    def patterns(resid, W_pos, W_Q, W_K):
        return [paths.attention_pattern(resid, W_pos, *head) for head in zip(W_Q, W_K)]

    def virtual(resid, A1, W_V1, W_O1, A2, W_V2, W_O2):
        return paths.head_output(A2, paths.head_output(A1, resid, W_V1, W_O1), W_V2, W_O2)

    def at_once(resid, A1, W_V1, W_O1, A2, W_V2, W_O2):
        return paths.virtual_pattern(A1, A2) @ resid @ W_V1 @ W_O1 @ W_V2 @ W_O2

    assert [verdict("3.1", patterns).mark, verdict("3.4", virtual).mark, verdict("3.4", at_once).mark] == ["✓"] * 3
