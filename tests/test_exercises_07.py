"""The checks of notebook 07 accept right answers written in other ways, and name each classic mistake."""

import pytest
import torch
from einops import einsum

from walkthrough import paths
from walkthrough.exercises.check import verdict


def right_scores(model, kind, layers):
    """Singular values in place of entries, one pair at a time."""
    size = lambda matrix: torch.linalg.svdvals(matrix).square().sum().sqrt()
    writes = [W_V @ W_O for W_V, W_O in zip(model.W_V[layers[0]], model.W_O[layers[0]])]
    side = {"Q": model.W_Q, "K": model.W_K, "V": model.W_V}[kind][layers[1]]
    other = {"Q": model.W_K.mT, "K": model.W_Q.mT, "V": model.W_O}[kind][layers[1]]
    reads = [left @ right for left, right in zip(side, other)]
    return torch.tensor([[size(A @ B) / size(A) / size(B) for B in reads] for A in writes])


def right_excess(W_OV, W_QK):
    """Singular values in place of entries."""
    size = lambda matrix: torch.linalg.svdvals(matrix).square().sum().sqrt()
    q, k = (size(side @ W_OV) for side in (W_QK.T, W_QK))
    return torch.stack([q, k]) / size(W_OV) / size(W_QK) - torch.rsqrt(torch.tensor(float(W_OV.shape[0])))


def right_norm(W_V, W_O, W_K, W_Q):
    """QR in place of Gram matrices: an orthonormal basis changes no norm."""
    left, right = torch.linalg.qr(W_V).R, torch.linalg.qr(W_Q).R
    return torch.linalg.norm(left @ (W_O @ W_K) @ right.T)


def right_k_term(embed, A, W_V, W_O, W_Q, W_K):
    whole = einsum(W_Q, W_K, "query d_head, key d_head -> query key") @ (W_V @ W_O).T / W_Q.shape[-1] ** 0.5
    return einsum(embed, A, whole, embed, "query read, key pos, read write, pos write -> query key")


def right_chain(embed, patterns, W_V, W_O, W_U):
    A, W_OV = torch.eye(len(embed)), W_U
    for pattern in patterns:
        A = pattern @ A
    for into, out in reversed(list(zip(W_V, W_O))):
        W_OV = into @ (out @ W_OV)
    return A @ (embed @ W_OV)


RIGHT = {
    "7.1": right_scores,
    "7.2": right_excess,
    "7.3": right_norm,
    "7.4": right_k_term,
    "7.5": right_chain,
}


GENERIC = [
    ("7.1", lambda *case: right_scores(*case).T, "transposed"),
    ("7.1", lambda *case: right_scores(*case)[0], "wrong shape"),
    ("7.1", lambda *case: 3 * right_scores(*case), "constant factor 3"),
    ("7.1", lambda model, kind, layers: right_scores(model, "K", layers), "the values differ"),
    ("7.2", lambda *case: right_excess(*case)[1], "wrong shape"),
    ("7.2", lambda *case: 2 * right_excess(*case), "constant factor 2"),
    ("7.3", lambda *case: -right_norm(*case), "the sign is flipped"),
    ("7.3", lambda v, o, k, q: v @ o @ k @ q.T, "wrong shape"),
    ("7.3", lambda v, o, k, q: (o @ v @ k @ q.T).norm(), "your code stopped with RuntimeError"),
    ("7.3", lambda *case: right_norm(*case) / 2, "the values differ"),
    ("7.4", lambda *case: 3 * right_k_term(*case), "constant factor 3"),
    ("7.4", lambda *case: -right_k_term(*case), "the sign is flipped"),
    ("7.4", lambda *case: right_k_term(*case)[:, 1:], "wrong shape"),
    ("7.4", lambda *case: right_k_term(*case).roll(1, 0), "off by one along axis 0"),
    ("7.5", lambda *case: right_chain(*case) / 2, "constant factor 0.5"),
    ("7.5", lambda *case: right_chain(*case).T, "transposed"),
    ("7.5", lambda *case: right_chain(*case).roll(-1, 0), "off by one along axis 0"),
    *((label, lambda *case: None, "returned None") for label in RIGHT),
]

SMALL = {
    "traces": lambda v, o, k, q: torch.trace((v.T @ v) @ (o @ k) @ (q.T @ q) @ (o @ k).T).sqrt(),
    "entries": lambda v, o, k, q: (((v.T @ v) @ (o @ k)) * ((o @ k) @ (q.T @ q))).sum().sqrt(),
    "QR": right_norm,
    "tall and thin": lambda v, o, k, q: torch.trace((v @ (o @ k)).T @ (v @ (o @ k)) @ (q.T @ q)).sqrt(),
}
FORBIDDEN = {
    "the whole product": lambda v, o, k, q: (v @ o @ k @ q.T).norm(),
    "from the right": lambda v, o, k, q: (v @ (o @ (k @ q.T))).norm(),
    "the middle first": lambda v, o, k, q: (v @ (o @ k) @ q.T).norm(),
    "multi_dot": lambda v, o, k, q: torch.linalg.multi_dot([v, o, k, q.T]).norm(),
    "einsum": lambda *factors: torch.einsum("ab,bc,cd,ed->ae", *factors).norm(),
}


@pytest.mark.parametrize("road", SMALL)
def test_the_norm_by_small_matrices_is_right_however_it_is_found(road):
    assert verdict("7.3", SMALL[road]).sentence == "right"


@pytest.mark.parametrize("road", FORBIDDEN)
def test_a_right_norm_by_the_forbidden_product_is_refused(road):
    assert "d_model × d_model" in verdict("7.3", FORBIDDEN[road]).sentence


def test_a_chain_of_two_is_the_notebooks_virtual_head():
    def chain(embed, patterns, W_V, W_O, W_U):
        A, *later = patterns
        for each in later:
            A = paths.virtual_pattern(A, each)
        moved = embed
        for into, out in zip(W_V, W_O):
            moved = moved @ into @ out
        return A @ moved @ W_U

    assert verdict("7.5", chain).mark == "✓"
