"""The checks of notebook 07 accept right answers written in other ways, and name each classic mistake."""

import torch
from einops import einsum

from walkthrough import paths
from walkthrough.exercises.check import verdict


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


RIGHT = {"7.1": right_excess, "7.2": right_norm, "7.3": right_k_term, "7.4": right_chain}


GENERIC = [
    ("7.1", lambda *case: right_excess(*case)[1], "wrong shape"),
    ("7.1", lambda *case: -right_excess(*case), "the sign is flipped"),
    ("7.1", lambda *case: 2 * right_excess(*case), "constant factor 2"),
    ("7.2", lambda *case: -right_norm(*case), "the sign is flipped"),
    ("7.2", lambda v, o, k, q: v @ o @ k @ q.T, "wrong shape"),
    ("7.2", lambda v, o, k, q: (o @ v @ k @ q.T).norm(), "your code stopped with RuntimeError"),
    ("7.2", lambda *case: right_norm(*case) / 2, "the values differ"),
    ("7.3", lambda *case: 3 * right_k_term(*case), "constant factor 3"),
    ("7.3", lambda *case: -right_k_term(*case), "the sign is flipped"),
    ("7.3", lambda *case: right_k_term(*case)[:, 1:], "wrong shape"),
    ("7.3", lambda *case: right_k_term(*case).roll(1, 0), "off by one along axis 0"),
    ("7.4", lambda *case: right_chain(*case) / 2, "constant factor 0.5"),
    ("7.4", lambda *case: right_chain(*case).T, "transposed"),
    ("7.4", lambda *case: right_chain(*case).roll(-1, 0), "off by one along axis 0"),
    *((label, lambda *case: None, "returned None") for label in RIGHT),
]


def test_a_chain_of_two_is_the_notebooks_virtual_head():
    def chain(embed, patterns, W_V, W_O, W_U):
        A, *later = patterns
        for each in later:
            A = paths.virtual_pattern(A, each)
        moved = embed
        for into, out in zip(W_V, W_O):
            moved = moved @ into @ out
        return A @ moved @ W_U

    assert verdict("7.4", chain).mark == "✓"
