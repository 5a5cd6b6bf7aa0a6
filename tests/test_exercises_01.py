import pytest
import torch
from einops import einsum

from walkthrough.exercises.check import verdict


def logit_difference(parts, W_U, answer, rival):
    logits = einsum(parts, W_U, "part pos d_model, d_model d_vocab -> part pos d_vocab")
    return logits[:, -1, answer] - logits[:, -1, rival]


def turn_mlp(W_in, b_in, W_out, b_out, R):
    return (W_in.T @ R).T, b_in, W_out @ R, R.T @ b_out


def wire_strength(W_O, W_in):
    squared = torch.linalg.svdvals(torch.einsum("wad,rdb->wrab", W_O, W_in)).square().sum(-1)
    return (squared / W_O.square().sum((1, 2))[:, None] / W_in.square().sum((1, 2))).sqrt()


def visible_share(resid, W_in):
    seen = W_in @ torch.linalg.pinv(W_in) @ resid.T
    return (seen.T * resid).sum(-1) / (resid * resid).sum(-1)


def unattempted(*inputs):
    raise NotImplementedError


RIGHT = {"1.1": logit_difference, "1.2": turn_mlp, "1.3": wire_strength, "1.4": visible_share}


@pytest.mark.parametrize("label", RIGHT)
def test_a_right_answer(label):
    assert verdict(label, RIGHT[label]).mark == "✓"


@pytest.mark.parametrize("label", RIGHT)
def test_a_stub(label):
    assert verdict(label, unattempted).mark == "○"


def test_neurons_may_be_listed_in_another_order():
    """What counts is what the layer does."""
    order = [3, 1, 0, 2, 5, 4]
    turn = lambda i, b, o, c, R: (R.T @ i[:, order], b[order], o[order] @ R, c @ R)
    assert verdict("1.2", turn).mark == "✓"


WRONG = {
    "1.1": [
        (lambda p, U, a, r: p[:, -1] @ U[:, a], "subtract the logit of `rival`"),
        (lambda p, U, a, r: ((p[:, -1] @ U)[:, a]) - (p[:, -1] @ U).mean(-1), "above the mean of all tokens"),
        (lambda p, U, a, r: p[:, 0] @ (U[:, a] - U[:, r]), "first position"),
        (lambda p, U, a, r: p.sum(1) @ (U[:, a] - U[:, r]), "sum over positions"),
        (lambda p, U, a, r: p @ (U[:, a] - U[:, r]), "keep the last one only"),
        (lambda p, U, a, r: p[:, -1].sum(0) @ (U[:, a] - U[:, r]), "summed over the parts"),
        (lambda p, U, a, r: (p[:, -1] @ U).softmax(-1)[:, a] - (p[:, -1] @ U).softmax(-1)[:, r], "leave out the softmax"),
        (lambda p, U, a, r: -logit_difference(p, U, a, r), "sign is flipped"),
        (lambda p, U, a, r: logit_difference(p, U, a, r) / 2, "constant factor 0.5"),
        (lambda p, U, a, r: logit_difference(p, U, a, r).roll(1), "off by one along axis 0"),
        (lambda p, U, a, r: logit_difference(p, U, a, r)[1:], "wrong shape"),
    ],
    "1.2": [
        (lambda i, b, o, c, R: (i, b, o, c), "nothing was turned"),
        (lambda i, b, o, c, R: (R @ i, b, o @ R.T, c @ R.T), "exchange R and R.T everywhere"),
        (lambda i, b, o, c, R: (R @ i, b, o @ R, c @ R), "transposed on the reading side"),
        (lambda i, b, o, c, R: (R.T @ i, b, o @ R.T, c @ R.T), "transposed on the writing side"),
        (lambda i, b, o, c, R: (i @ R, b, o @ R, c @ R), "wrong side of W_in"),
        (lambda i, b, o, c, R: (i, b, o @ R, c @ R), "W_in is not turned"),
        (lambda i, b, o, c, R: (R.T @ i, b, o, c @ R), "W_out is not turned"),
        (lambda i, b, o, c, R: (R.T @ i, b, o @ R, c), "b_out is not turned"),
        (lambda i, b, o, c, R: (R.T @ i, b @ R, o @ R, c @ R), "b_in was turned"),
        (lambda i, b, o, c, R: (R.T @ i, b, R @ o, c @ R), "does not do to resid @ R"),
        (lambda i, b, o, c, R: R.T @ i, "return four tensors"),
        (lambda i, b, o, c, R: (R.T @ i, b, o @ R, None), "b_out is not a tensor but of type NoneType"),
        (lambda i, b, o, c, R: (R.T @ i, b[1:], o @ R, c), "your b_in is [5], it should be [6]"),
        (lambda i, b, o, c, R: None, "is there a return statement"),
    ],
    "1.3": [
        (lambda O, I: (I @ O[:, None]).norm(dim=(2, 3)) / O.norm(dim=(1, 2))[:, None] / I.norm(dim=(1, 2)), "wrong order"),
        (lambda O, I: wire_strength(O, I).T, "transposed: rows are the heads that write"),
        (lambda O, I: (O[:, None] @ I).norm(dim=(2, 3)), "divide by the sizes"),
        (lambda O, I: wire_strength(O, I).square(), "take the root"),
        (lambda O, I: torch.linalg.svdvals(O[:, None] @ I)[..., 0] * wire_strength(O, I) / (O[:, None] @ I).norm(dim=(2, 3)),
         "largest singular value"),
        (lambda O, I: wire_strength(O, I).diag(), "only head i with head i"),
        (lambda O, I: wire_strength(O, I) * 3, "constant factor 3"),
        (lambda O, I: O[:, None] @ I, "wrong shape"),
        (lambda O, I: O @ O, "your code stopped with RuntimeError"),
    ],
    "1.4": [
        (lambda x, W: (x @ W).square().sum(-1) / x.square().sum(-1), "not orthonormal"),
        (lambda x, W: (x @ (W / W.norm(dim=0))).square().sum(-1) / x.square().sum(-1), "not at right angles"),
        (lambda x, W: visible_share(x, W).sqrt(), "share of the length: square it"),
        (lambda x, W: 1 - visible_share(x, W), "can not see"),
        (lambda x, W: (x @ torch.linalg.qr(W).Q).square().sum(-1), "not yet a share"),
        (lambda x, W: visible_share(x, W).mean(), "one number for each position"),
        (lambda x, W: x @ torch.linalg.qr(W).Q, "wrong shape"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(("label", "attempt", "names"), [(label, *wrong) for label in WRONG for wrong in WRONG[label]])
def test_a_wrong_answer_is_named(label, attempt, names):
    result = verdict(label, attempt)
    assert result.mark == "✗"
    assert names in result.sentence
