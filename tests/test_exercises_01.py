"""The checks of notebook 01 accept right answers written in other ways, and name each classic mistake."""

import pytest
import torch
from einops import einsum, rearrange

from walkthrough.exercises.check import verdict


def right_parts(z, W_O):
    return torch.stack([z.select(2, head) @ W for head, W in enumerate(W_O)])


def right_direct(tokens, W_E, W_U):
    return torch.nn.functional.one_hot(tokens, len(W_E)).float() @ (W_E @ W_U)


def right_rotation(weights, R):
    writes = {name: (R.T @ weights[name].mT).mT for name in ("W_E", "W_pos", "W_O")}
    reads = {name: (weights[name].mT @ R).mT for name in ("W_Q", "W_K", "W_V", "W_U")}
    return reads | writes


def right_wires(W_O, W_in):
    return einsum(W_O, W_in, "write sent d_model, read d_model arrived -> write read sent arrived")


def right_strength(W_O, W_in):
    squared = torch.linalg.svdvals(right_wires(W_O, W_in)).square().sum(-1)
    return (squared / W_O.square().sum((1, 2))[:, None] / W_in.square().sum((1, 2))).sqrt()


RIGHT = {
    "1.1": right_parts,
    "1.2": right_direct,
    "1.3": right_rotation,
    "1.4": right_wires,
    "1.5": right_strength,
}


def turned(**wrong):
    """An answer to 1.3 that is right but for some matrices."""
    return lambda weights, R: right_rotation(weights, R) | {n: slip(weights[n], R) for n, slip in wrong.items()}


def all_by(slip, names="W_E W_pos W_Q W_K W_V W_O W_U"):
    return turned(**dict.fromkeys(names.split(), slip))


UNTURNED = lambda W, R: W
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
    ("1.3", all_by(UNTURNED), "nothing was rotated"),
    ("1.3", lambda w, R: right_rotation(w, R.T), "exchange R and R.T everywhere"),
    ("1.3", turned(W_pos=UNTURNED), "W_pos: not rotated: it is added to what W_Q and W_K read"),
    ("1.3", turned(W_pos=lambda W, R: R.T @ W), "W_pos: multiplied by R.T on the left, as if it read: it is added"),
    ("1.3", turned(W_pos=lambda W, R: W @ R.T), "W_pos: multiplied by R.T on the right, where R belongs"),
    ("1.3", turned(W_E=UNTURNED), "W_E: not rotated, but what it writes has to be"),
    ("1.3", turned(W_U=UNTURNED), "W_U: not rotated: a matrix that reads must first rotate the stream back"),
    ("1.3", turned(W_U=lambda W, R: W @ R), "W_U: multiplied by R on the right, as if it wrote"),
    ("1.3", turned(W_U=lambda W, R: W @ R.T), "W_U: multiplied by R.T on the right, which is not the stream's side"),
    ("1.3", turned(W_O=lambda W, R: R @ W), "W_O: multiplied by R on the left, which is not the stream's side"),
    ("1.3", turned(W_O=lambda W, R: R.T @ W), "W_O: multiplied by R.T on the left, as if it read"),
    ("1.3", turned(W_O=lambda W, R: W @ R.T), "W_O: multiplied by R.T on the right, where R belongs"),
    ("1.3", turned(W_O=lambda W, R: R.T @ W @ R), "W_O: rotated on both sides"),
    ("1.3", turned(W_V=lambda W, R: R.T @ W @ R), "W_V: rotated on both sides"),
    ("1.3", all_by(lambda W, R: R @ W, "W_Q W_K W_V W_U"), "W_Q and W_K and W_V and W_U: multiplied by R on the left"),
    ("1.3", all_by(lambda W, R: W @ R), "W_Q and W_K and W_V and W_U: multiplied by R on the right, as if it wrote"),
    ("1.3", turned(W_V=lambda W, R: 2 * R.T @ W), "W_V: wrong in another way"),
    ("1.3", lambda w, R: w["W_E"] @ R, "return a dictionary with the names W_E, W_pos"),
    ("1.3", lambda w, R: {n: W @ R for n, W in w.items() if n[2] in "EO"}, "no W_pos and no W_Q"),
    ("1.3", turned(W_K=lambda W, R: None), "your W_K is not a tensor but of type NoneType"),
    ("1.3", turned(W_K=lambda W, R: W[0]), "your W_K is [3, 5, 5], it should be [2, 3, 5, 5]"),
    ("1.3", lambda w, R: None, "is there a return statement"),
    ("1.4", lambda O, I: I @ O[:, None], "wrong order: W_in @ W_O"),
    ("1.4", lambda O, I: O @ I, "only head i with head i"),
    ("1.4", lambda O, I: I.mT[:, None] @ O.mT, "both pairs of axes are exchanged"),
    ("1.4", lambda O, I: I.mT @ O.mT[:, None], "each wire is transposed"),
    ("1.4", lambda O, I: einsum(O, I, "w s d, r d a -> r w s a"), "yours are exchanged"),
    ("1.4", lambda O, I: einsum(O, I, "w s d, r d a -> w s r a"), "wrong shape"),
    ("1.4", lambda O, I: right_wires(O, I).flatten(0, 1), "wrong shape"),
    ("1.4", lambda O, I: 3 * right_wires(O, I), "constant factor 3"),
    ("1.5", lambda O, I: right_wires(O, I).norm(dim=(2, 3)) / (O.norm() * I.norm()), "all of W_O and all of W_in"),
    ("1.5", lambda O, I: right_wires(O, I).norm() / (O.norm() * I.norm()), "over all pairs at once"),
    ("1.5", lambda O, I: right_wires(O, I).norm(dim=(2, 3)) / O.norm() / I.norm(dim=(1, 2)), "the norm of all of W_O:"),
    ("1.5", lambda O, I: right_wires(O, I).norm(dim=(2, 3)) / O.norm(dim=(1, 2))[:, None] / I.norm(), "all of W_in:"),
    ("1.5", lambda O, I: right_wires(O, I).norm(dim=(2, 3)) / O.norm(dim=-1) / I.norm(dim=-1), "do not line up"),
    ("1.5", lambda O, I: right_strength(O, I).T, "transposed: rows are the heads that write"),
    ("1.5", lambda O, I: right_strength(O, I) * 3, "constant factor 3"),
    ("1.5", lambda O, I: right_wires(O, I), "wrong shape"),
    ("1.5", lambda O, I: right_strength(O, I).mean(1), "that is the mean over axis 1"),
    ("1.5", lambda O, I: O @ O, "your code stopped with RuntimeError"),
]  # fmt: skip


def test_a_rotation_with_several_slips_is_told_of_all():
    wrong = turned(W_pos=UNTURNED, W_Q=UNTURNED, W_K=UNTURNED, W_O=lambda W, R: R @ W)
    said = verdict("1.3", wrong).sentence
    assert said.count("; and ") == 2
    assert all(name in said for name in ("W_pos: not rotated", "W_Q and W_K: not rotated", "W_O: multiplied by R on"))


def test_weights_may_be_rotated_where_they_lie():
    def in_place(weights, R):
        for name, W in weights.items():
            W.copy_(W @ R if name in ("W_E", "W_pos", "W_O") else R.T @ W)
        return weights

    assert verdict("1.3", in_place).mark == "✓"


@pytest.mark.parametrize("label", ["1.1", "1.2", "1.3", "1.4", "1.5"])
def test_the_packages_function_is_right(label):
    from walkthrough import circuits, paths

    functions = {
        "1.1": paths.layer_parts, "1.2": paths.direct_path, "1.3": circuits.rotated_weights,
        "1.4": circuits.virtual_weights, "1.5": circuits.wire_strength,
    }  # fmt: skip
    assert verdict(label, functions[label]).sentence == "right"


def test_answers_as_arrays_and_lists_are_read():
    assert verdict("1.2", lambda t, E, U: right_direct(t, E, U).numpy()).mark == "✓"
    assert verdict("1.1", lambda z, O: [rearrange(part, "b p d -> b p d") for part in right_parts(z, O)]).mark == "✓"
