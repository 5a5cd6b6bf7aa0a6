"""The checks of notebook 01 accept right answers written in other ways, and name each classic mistake."""

import pytest
import torch
from einops import einsum, rearrange

from walkthrough.exercises.check import verdict


def right_parts(z, W_O):
    return torch.stack([z.select(2, head) @ W for head, W in enumerate(W_O)])


def right_direct(tokens, W_E, W_U):
    return torch.nn.functional.one_hot(tokens, len(W_E)).float() @ (W_E @ W_U)


def right_difference(parts, W_U, answer, rival):
    logits = einsum(parts, W_U, "part pos d_model, d_model d_vocab -> part pos d_vocab")
    return logits[:, -1, answer] - logits[:, -1, rival]


def right_rotation(W_in, b_in, W_out, b_out, R):
    return (W_in.T @ R).T, b_in, W_out @ R, R.T @ b_out


def right_wires(W_O, W_in):
    return einsum(W_O, W_in, "write sent d_model, read d_model arrived -> write read sent arrived")


def right_strength(W_O, W_in):
    squared = torch.linalg.svdvals(right_wires(W_O, W_in)).square().sum(-1)
    return (squared / W_O.square().sum((1, 2))[:, None] / W_in.square().sum((1, 2))).sqrt()


def right_share(resid, W_in):
    seen = W_in @ torch.linalg.pinv(W_in) @ resid.T
    return (seen.T * resid).sum(-1) / (resid * resid).sum(-1)


RIGHT = {
    "1.1": right_parts,
    "1.2": right_direct,
    "1.3": right_difference,
    "1.4": right_rotation,
    "1.5": right_wires,
    "1.6": right_strength,
    "1.7": right_share,
}


def both(first, second):
    """What a rotation says of two tensors that are wrong at once."""
    return f"{first}; and {second}"


UNTURNED_IN, UNTURNED_OUT = "W_in is not rotated", "W_out is not rotated: it writes to the stream"
NEURONS_TURNED = "b_in was rotated: it is added to the neurons, which stay as they are"
GENERIC = [
    ("1.1", lambda z, O: z.flatten(2) @ O.flatten(0, 1), "their sum, what the whole layer adds"),
    ("1.1", lambda z, O: einsum(z, O, "b p h d, h d m -> b p h m"), "in another order: head, batch, pos, d_model"),
    ("1.1", lambda z, O: einsum(z, O, "b p h d, h d m -> b p h m").reshape(len(O), *z.shape[:2], -1), "by a reshape"),
    ("1.1", lambda z, O: einsum(z, O, "b p h d, g d m -> h b p m"), "multiplied by the sum of all W_O"),
    ("1.1", lambda z, O: einsum(z, O, "b p h d, g d m -> g b p m"), "added up before their own W_O could act"),
    ("1.1", lambda z, O: -right_parts(z, O), "the sign is flipped"),
    ("1.1", lambda z, O: right_parts(z, O).flip(0), "the values differ"),
    ("1.1", lambda z, O: z @ O, "your code stopped with RuntimeError"),
    ("1.2", lambda t, E, U: E[t] @ E.T, "the unembedding is W_U"),
    ("1.2", lambda t, E, U: (E @ U)[:, t], "wrong shape"),
    ("1.2", lambda t, E, U: (E @ U).T[t], "the wrong way round"),
    ("1.2", lambda t, E, U: (E[t] @ U)[:, -1], "only the last position"),
    ("1.2", lambda t, E, U: (E[t] @ U).softmax(-1), "leave out the softmax"),
    ("1.2", lambda t, E, U: E[t], "has still to turn it into logits"),
    ("1.2", lambda t, E, U: (E[t] @ U).mean(1), "that is the mean over axis 1"),
    ("1.3", lambda p, U, a, r: p[:, -1] @ U[:, a], "subtract the logit of `rival`"),
    ("1.3", lambda p, U, a, r: ((p[:, -1] @ U)[:, a]) - (p[:, -1] @ U).mean(-1), "above the mean of all tokens"),
    ("1.3", lambda p, U, a, r: p[:, 0] @ (U[:, a] - U[:, r]), "first position"),
    ("1.3", lambda p, U, a, r: p[-1] @ (U[:, a] - U[:, r]), "the last part at every position"),
    ("1.3", lambda p, U, a, r: (p[:, -1] @ U).log_softmax(-1)[:, a], "log-probabilities do not add up"),
    ("1.3", lambda p, U, a, r: -right_difference(p, U, a, r), "the sign is flipped"),
    ("1.3", lambda p, U, a, r: right_difference(p, U, a, r) / 2, "constant factor 0.5"),
    ("1.3", lambda p, U, a, r: right_difference(p, U, a, r).roll(1), "off by one along axis 0"),
    ("1.3", lambda p, U, a, r: right_difference(p, U, a, r)[1:], "wrong shape"),
    ("1.4", lambda i, b, o, c, R: (i, b, o, c), "nothing was rotated"),
    ("1.4", lambda i, b, o, c, R: (R @ i, b, o @ R.T, c @ R.T), "exchange R and R.T everywhere"),
    ("1.4", lambda i, b, o, c, R: (R @ i, b, o @ R, c @ R), "R is transposed on the reading side"),
    ("1.4", lambda i, b, o, c, R: (R.T @ i, b, o @ R.T, c @ R), "R is transposed on the writing side"),
    ("1.4", lambda i, b, o, c, R: (i @ R, b, o @ R, c @ R), "R is on the wrong side of W_in"),
    ("1.4", lambda i, b, o, c, R: (i @ R.T, b, o @ R, c @ R), "R.T is on the wrong side of W_in"),
    ("1.4", lambda i, b, o, c, R: (R.T @ i @ R, b, o @ R, c @ R), "W_in is rotated on both sides"),
    ("1.4", lambda i, b, o, c, R: (i, b, o @ R, c @ R), UNTURNED_IN),
    ("1.4", lambda i, b, o, c, R: (R.T @ i, b, o, c @ R), UNTURNED_OUT),
    ("1.4", lambda i, b, o, c, R: (R.T @ i, b, R @ o, c @ R), "R is on the wrong side of W_out"),
    ("1.4", lambda i, b, o, c, R: (R.T @ i, b, R.T @ o, c @ R), "R.T is on the wrong side of W_out"),
    ("1.4", lambda i, b, o, c, R: (R.T @ i, b, R.T @ o @ R, c @ R), "W_out is rotated on both sides"),
    ("1.4", lambda i, b, o, c, R: (R.T @ i, b, o @ R, c), "b_out is not rotated"),
    ("1.4", lambda i, b, o, c, R: (R.T @ i, b, o @ R, R @ c), "R is transposed at b_out"),
    ("1.4", lambda i, b, o, c, R: (R.T @ i, b @ R, o @ R, c @ R), NEURONS_TURNED),
    ("1.4", lambda i, b, o, c, R: (R.T @ i, b @ R.T, o @ R, c @ R), "b_in was rotated, and by R.T"),
    ("1.4", lambda i, b, o, c, R: (2 * R.T @ i, b, o @ R, c @ R), "your W_in is wrong in another way"),
    ("1.4", lambda i, b, o, c, R: (R.T @ i, b + 1, o @ R, c @ R), "your b_in is wrong in another way"),
    ("1.4", lambda i, b, o, c, R: R.T @ i, "return four tensors"),
    ("1.4", lambda i, b, o, c, R: (R.T @ i, b, o @ R, None), "b_out is not a tensor but of type NoneType"),
    ("1.4", lambda i, b, o, c, R: (R.T @ i, b[1:], o @ R, c), "your b_in is [5], it should be [6]"),
    ("1.4", lambda i, b, o, c, R: (R.T @ i, o @ R, b, c @ R), "in the order W_in, b_in, W_out, b_out?"),
    ("1.4", lambda i, b, o, c, R: None, "is there a return statement"),
    ("1.5", lambda O, I: I @ O[:, None], "wrong order: W_in @ W_O"),
    ("1.5", lambda O, I: O @ I, "only head i with head i"),
    ("1.5", lambda O, I: I.mT[:, None] @ O.mT, "both pairs of axes are exchanged"),
    ("1.5", lambda O, I: I.mT @ O.mT[:, None], "each wire is transposed"),
    ("1.5", lambda O, I: einsum(O, I, "w s d, r d a -> r w s a"), "yours are exchanged"),
    ("1.5", lambda O, I: einsum(O, I, "w s d, r d a -> w s r a"), "wrong shape"),
    ("1.5", lambda O, I: right_wires(O, I).flatten(0, 1), "wrong shape"),
    ("1.5", lambda O, I: 3 * right_wires(O, I), "constant factor 3"),
    ("1.6", lambda O, I: right_wires(O, I).norm(dim=(2, 3)) / (O.norm() * I.norm()), "all of W_O and all of W_in"),
    ("1.6", lambda O, I: right_wires(O, I).norm() / (O.norm() * I.norm()), "over all pairs at once"),
    ("1.6", lambda O, I: right_wires(O, I).norm(dim=(2, 3)) / O.norm() / I.norm(dim=(1, 2)), "the norm of all of W_O:"),
    ("1.6", lambda O, I: right_wires(O, I).norm(dim=(2, 3)) / O.norm(dim=(1, 2))[:, None] / I.norm(), "all of W_in:"),
    ("1.6", lambda O, I: right_wires(O, I).norm(dim=(2, 3)) / O.norm(dim=-1) / I.norm(dim=-1), "do not line up"),
    ("1.6", lambda O, I: right_strength(O, I).T, "transposed: rows are the heads that write"),
    ("1.6", lambda O, I: right_strength(O, I) * 3, "constant factor 3"),
    ("1.6", lambda O, I: right_wires(O, I), "wrong shape"),
    ("1.6", lambda O, I: right_strength(O, I).mean(1), "that is the mean over axis 1"),
    ("1.6", lambda O, I: O @ O, "your code stopped with RuntimeError"),
    ("1.7", lambda x, W: (x @ W).square().sum(-1) / x.square().sum(-1), "not orthonormal"),
    ("1.7", lambda x, W: (x @ W / W.norm()).square().sum(-1) / x.square().sum(-1), "some directions still count more"),
    ("1.7", lambda x, W: (x @ torch.linalg.qr(W).Q).square().sum(-1), "not yet a share"),
    ("1.7", lambda x, W: (x @ torch.linalg.qr(W).Q).norm(dim=-1) / x.norm(dim=-1), "share of the length: square it"),
    ("1.7", lambda x, W: (x @ torch.linalg.qr(W, "complete").Q).square().sum(-1) / x.square().sum(-1), "the whole stream"),
    ("1.7", lambda x, W: (x @ torch.linalg.svd(W).U[:, :1]).square().sum(-1) / x.square().sum(-1), "the values differ"),
    ("1.7", lambda x, W: right_share(x, W)[:, None], "an axis of length 1"),
    ("1.7", lambda x, W: x @ torch.linalg.qr(W).Q, "wrong shape"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("attempt", "sentence"),
    [
        (lambda i, b, o, c, R: (i, b, o, c @ R), both("W_in is not rotated: it reads the stream, so it must first rotate it back", UNTURNED_OUT)),
        (lambda i, b, o, c, R: (i @ R, b @ R, o @ R, c @ R),
         both("R is on the wrong side of W_in: that would rotate the neurons, and relu would not survive it", NEURONS_TURNED)),
        (lambda i, b, o, c, R: (R.T @ i, b, o, c), both(UNTURNED_OUT, "b_out is not rotated: it is added to the stream, as what W_out writes is")),
        (lambda i, b, o, c, R: (R.T @ i, b @ R, o + 1, c @ R),
         both(NEURONS_TURNED, "your W_out is wrong in another way: what does it read, and what does it write?")),
    ],
)  # fmt: skip
def test_a_rotation_with_two_slips_is_told_of_both(attempt, sentence):
    assert verdict("1.4", attempt).sentence == sentence


def test_a_rotation_with_four_slips_is_told_of_four():
    said = verdict("1.4", lambda i, b, o, c, R: (R @ i, b @ R, R @ o, c)).sentence
    assert said.count("; and ") == 3
    assert all(name in said for name in ("W_in", "b_in", "W_out", "b_out"))


ORDER = [3, 1, 0, 2, 5, 4]


def test_neurons_may_be_listed_in_another_order():
    """What counts is what the layer does; and a slip is still named."""
    rotate = lambda i, b, o, c, R: (R.T @ i[:, ORDER], b[ORDER], o[ORDER] @ R, c @ R)
    assert verdict("1.4", rotate).mark == "✓"
    forgot = lambda i, b, o, c, R: (R.T @ i[:, ORDER], b[ORDER], o[ORDER], c @ R)
    assert verdict("1.4", forgot).sentence == UNTURNED_OUT


@pytest.mark.parametrize("label", ["1.1", "1.2", "1.5", "1.6", "1.7"])
def test_the_packages_function_is_right(label):
    from walkthrough import circuits, paths

    functions = {
        "1.1": paths.layer_parts, "1.2": paths.direct_path, "1.5": circuits.virtual_weights,
        "1.6": circuits.wire_strength, "1.7": circuits.visible_share,
    }  # fmt: skip
    assert verdict(label, functions[label]).sentence == "right"


def test_answers_as_arrays_and_lists_are_read():
    assert verdict("1.3", lambda p, U, a, r: right_difference(p, U, a, r).numpy()).mark == "✓"
    assert verdict("1.1", lambda z, O: [rearrange(part, "b p d -> b p d") for part in right_parts(z, O)]).mark == "✓"
