"""Homework 4 as students might hand it in: right answers of several kinds, and wrong ones with what should be said."""

import functools

import matplotlib.pyplot as plt
import torch
from jaxtyping import Float, Int
from torch import Tensor

from walkthrough import behaviour, figures, interventions, models, paths
from walkthrough.two_layers import composition, handmade

_ = Float, Int, Tensor, composition, handmade, figures, models, plt  # the set-up cell's, unused here


def chain_norm(W_V, W_O):
    """Given in the notebook, with its slip."""
    small = [W_O[i] @ W_V[(i + 1) % len(W_V)] for i in range(len(W_V))]
    return functools.reduce(torch.matmul, small).norm()


# Task 1, right


def chance_by_library(model):
    norms = model.OV[0].AB.norm(dim=(1, 2))
    columns = []
    for kind in "QKV":
        products = model.all_composition_scores(kind)[0, :, 1] * norms[:, None]  # ‖S_h B‖ / ‖B‖
        columns.append((products / norms.norm()).norm(dim=0) ** 2 * model.cfg.d_model)
    return torch.stack(columns, 1)


def chance_by_gram(model):
    W = {name: getattr(model, name).double() for name in ("W_Q", "W_K", "W_V", "W_O")}
    OV = torch.einsum("lhrd,lhdw->lhrw", W["W_V"], W["W_O"])
    gram = torch.einsum("hrw,hrx->wx", OV[0], OV[0])  # of everything layer 0 writes
    QK = torch.einsum("hrd,hwd->hrw", W["W_Q"][1], W["W_K"][1])
    found = []
    for B in (QK, QK.mT, OV[1]):
        found.append(torch.einsum("hwa,wx,hxa->h", B, gram, B) / gram.trace() / torch.einsum("hwa,hwa->h", B, B))
    return torch.stack(found, -1) * gram.shape[0]


def chance_by_stack(model):
    S = torch.cat(list(model.OV[0].AB))
    rows = []
    for head in range(model.cfg.n_heads):
        W_QK = model.W_Q[1, head] @ model.W_K[1, head].T
        W_OV = model.W_V[1, head] @ model.W_O[1, head]
        rows.append([((S @ B).norm() / S.norm() / B.norm()).item() ** 2 * S.shape[1] for B in (W_QK, W_QK.T, W_OV)])
    return rows


# Task 1, wrong


def chance_q_for_k(model):
    S = model.OV[0].AB.flatten(0, 1)
    readers = torch.stack([model.QK[1].AB.mT, model.QK[1].AB, model.OV[1].AB], 1)
    return ((S @ readers).norm(dim=(-2, -1)) / S.norm() / readers.norm(dim=(-2, -1))) ** 2 * model.cfg.d_model


def chance_transposed_writes(model):
    S = model.OV[0].AB.mT.flatten(0, 1)
    readers = torch.stack([model.QK[1].AB, model.QK[1].AB.mT, model.OV[1].AB], 1)
    return ((S @ readers).norm(dim=(-2, -1)) / S.norm() / readers.norm(dim=(-2, -1))) ** 2 * model.cfg.d_model


def chance_v_other_side(model):
    d_model, OV = model.cfg.d_model, model.OV[0].AB
    S = OV.flatten(0, 1)
    rows = []
    for head in range(model.cfg.n_heads):
        QK, later = model.QK[1, head].AB, model.OV[1, head].AB
        q, k = (((S @ B).norm() / S.norm() / B.norm()) ** 2 for B in (QK, QK.T))
        v = ((later @ OV).norm() / S.norm() / later.norm()) ** 2
        rows.append([q * d_model, k * d_model, v * d_model])
    return torch.tensor(rows)


def chance_root(model):
    S = model.OV[0].AB.flatten(0, 1)
    readers = torch.stack([model.QK[1].AB, model.QK[1].AB.mT, model.OV[1].AB], 1)
    return (S @ readers).norm(dim=(-2, -1)) / S.norm() / readers.norm(dim=(-2, -1)) * model.cfg.d_model**0.5


def chance_plain_mean(model):
    scores = torch.stack([composition.composition_scores(model, kind) for kind in "QKV"], -1)
    return scores.pow(2).mean(0) * model.cfg.d_model


def chance_mean_of_roots(model):
    scores = torch.stack([composition.composition_scores(model, kind) for kind in "QKV"], -1)
    return scores.mean(0) * model.cfg.d_model**0.5


def chance_added(model):
    total = model.OV[0].AB.sum(0)
    readers = torch.stack([model.QK[1].AB, model.QK[1].AB.mT, model.OV[1].AB], 1)
    return ((total @ readers).norm(dim=(-2, -1)) / total.norm() / readers.norm(dim=(-2, -1))) ** 2 * model.cfg.d_model


def chance_d_head(model):
    S = model.OV[0].AB.flatten(0, 1)
    readers = torch.stack([model.QK[1].AB, model.QK[1].AB.mT, model.OV[1].AB], 1)
    return ((S @ readers).norm(dim=(-2, -1)) / S.norm() / readers.norm(dim=(-2, -1))) ** 2 * model.cfg.d_head


def chance_of_tall(model):
    S = model.OV[0].AB.flatten(0, 1)
    readers = torch.stack([model.QK[1].AB, model.QK[1].AB.mT, model.OV[1].AB], 1)
    return ((S @ readers).norm(dim=(-2, -1)) / S.norm() / readers.norm(dim=(-2, -1))) ** 2 * len(S)


def chance_forgotten(model):
    S = model.OV[0].AB.flatten(0, 1)
    readers = torch.stack([model.QK[1].AB, model.QK[1].AB.mT, model.OV[1].AB], 1)
    return ((S @ readers).norm(dim=(-2, -1)) / S.norm() / readers.norm(dim=(-2, -1))) ** 2


def chance_excess(model):
    S = model.OV[0].AB.flatten(0, 1)
    readers = torch.stack([model.QK[1].AB, model.QK[1].AB.mT, model.OV[1].AB], 1)
    return ((S @ readers).norm(dim=(-2, -1)) / S.norm() / readers.norm(dim=(-2, -1))) ** 2 * model.cfg.d_model - 1


def chance_root_excess(model):
    S = model.OV[0].AB.flatten(0, 1)
    readers = torch.stack([model.QK[1].AB, model.QK[1].AB.mT, model.OV[1].AB], 1)
    return (S @ readers).norm(dim=(-2, -1)) / S.norm() / readers.norm(dim=(-2, -1)) * model.cfg.d_model**0.5 - 1


def chance_centred(model):
    S, OV = model.OV[0].AB.flatten(0, 1), model.OV[1].AB
    S, OV = S - S.mean(-1, keepdim=True), OV - OV.mean(-1, keepdim=True)
    readers = torch.stack([model.QK[1].AB, model.QK[1].AB.mT, OV], 1)
    return ((S @ readers).norm(dim=(-2, -1)) / S.norm() / readers.norm(dim=(-2, -1))) ** 2 * model.cfg.d_model


def chance_v_transposed(model):
    S = model.OV[0].AB.flatten(0, 1)
    readers = torch.stack([model.QK[1].AB, model.QK[1].AB.mT, model.OV[1].AB.mT], 1)
    return ((S @ readers).norm(dim=(-2, -1)) / S.norm() / readers.norm(dim=(-2, -1))) ** 2 * model.cfg.d_model


def chance_one_matrix(model):
    S = model.OV[0].AB.flatten(0, 1)
    readers = torch.stack([model.W_Q[1], model.W_K[1], model.W_V[1]], 1)
    return ((S @ readers).norm(dim=(-2, -1)) / S.norm() / readers.norm(dim=(-2, -1))) ** 2 * model.cfg.d_model


def chance_cycled(model):
    W_in = torch.stack([model.W_Q[1], model.W_K[1], model.W_V[1]], 1)[:, :, None]
    W_out = torch.stack([model.W_K[1], model.W_Q[1], model.W_O[1].mT], 1)[:, :, None]
    small = (W_out.mT @ model.W_V[0]) @ (model.W_O[0] @ W_in)  # [read kind write d_head d_head]
    readers = (W_in @ W_out.mT)[:, :, 0].norm(dim=(-2, -1))
    return small.pow(2).sum((-3, -2, -1)) / model.OV[0].AB.norm() ** 2 / readers**2 * model.cfg.d_model


def chance_kinds_down(model):
    S = model.OV[0].AB.flatten(0, 1)
    readers = torch.stack([model.QK[1].AB, model.QK[1].AB.mT, model.OV[1].AB])
    return ((S @ readers).norm(dim=(-2, -1)) / S.norm() / readers.norm(dim=(-2, -1))) ** 2 * model.cfg.d_model


def chance_hard_coded(model):
    return torch.tensor([[0.7, 0.7, 0.4], [1.3, 0.7, 0.6], [1.3, 0.7, 0.9], [1.0, 0.9, 0.7]])


# Task 2, right


def score_by_qr(W_V, W_O):
    left, right = torch.linalg.qr(W_V).R, torch.linalg.qr(W_O.mT).R.mT
    product = left[0]
    for i in range(1, len(W_V)):
        product = product @ (W_O[i - 1] @ W_V[i])
    return (product @ right[-1]).norm() / (left @ right).norm(dim=(1, 2)).prod()


def score_in_float64(W_V, W_O):
    W_V, W_O = W_V.double(), W_O.double()
    reads, writes = torch.einsum("lmi,lmj->lij", W_V, W_V), torch.einsum("lim,ljm->lij", W_O, W_O)
    own = torch.einsum("lij,lji->l", reads, writes).sqrt().prod()
    carried = reads[0]  # the Gram matrix of all that came in, carried from head to head
    for i in range(len(W_V) - 1):
        link = W_O[i] @ W_V[i + 1]
        carried = link.T @ carried @ link
    return (carried * writes[-1]).sum().sqrt() / own


def score_head_by_head(W_V, W_O):
    def squared(R, M):
        total = 0.0
        for row in R:
            total += float(row @ M @ row)
        return total

    layers, passed = len(W_V), torch.linalg.qr(W_V[0]).R
    below = 1.0
    for i in range(layers):
        gram = W_O[i] @ W_O[i].T
        below *= squared(torch.linalg.qr(W_V[i]).R, gram) ** 0.5
        if i < layers - 1:
            passed = (passed @ W_O[i]) @ W_V[i + 1]
    return squared(passed, gram) ** 0.5 / below


# Task 2, wrong


def score_as_given(W_V, W_O):
    def norm(V, O):
        return functools.reduce(torch.matmul, [O[i] @ V[(i + 1) % len(V)] for i in range(len(V))]).norm()

    return norm(W_V, W_O) / torch.stack([norm(W_V[i : i + 1], W_O[i : i + 1]) for i in range(len(W_V))]).prod()


def score_heads_not_mended(W_V, W_O):
    product = torch.linalg.qr(W_V[0]).R
    for i in range(1, len(W_V)):
        product = product @ (W_O[i - 1] @ W_V[i])
    return (product @ torch.linalg.qr(W_O[-1].T).R.T).norm() / (W_O @ W_V).norm(dim=(1, 2)).prod()


def score_chain_not_mended(W_V, W_O):
    own = (torch.linalg.qr(W_V).R @ torch.linalg.qr(W_O.mT).R.mT).norm(dim=(1, 2)).prod()
    return functools.reduce(torch.matmul, [W_O[i - 1] @ W_V[i] for i in [*range(1, len(W_V)), 0]]).norm() / own


def score_no_root(W_V, W_O):
    reads, writes = W_V.mT @ W_V, W_O @ W_O.mT
    carried = reads[0]
    for i in range(len(W_V) - 1):
        carried = (W_O[i] @ W_V[i + 1]).T @ carried @ (W_O[i] @ W_V[i + 1])
    return (carried * writes[-1]).sum() / (reads * writes).sum((1, 2)).prod()


def score_trace_of_itself(W_V, W_O):
    small = functools.reduce(torch.matmul, [W_O[i] @ W_V[(i + 1) % len(W_V)] for i in range(len(W_V))])
    own = ((W_V.mT @ W_V) * (W_O @ W_O.mT)).sum((1, 2)).sqrt().prod()
    return small.trace().abs().sqrt() / own


def score_of_middle(W_V, W_O):
    own = ((W_V.mT @ W_V) * (W_O @ W_O.mT)).sum((1, 2)).sqrt().prod()
    return functools.reduce(torch.matmul, [out @ into for out, into in zip(W_O, W_V[1:])]).norm() / own


def score_not_divided(W_V, W_O):
    product = torch.linalg.qr(W_V[0]).R
    for i in range(1, len(W_V)):
        product = product @ (W_O[i - 1] @ W_V[i])
    return (product @ torch.linalg.qr(W_O[-1].T).R.T).norm()


def score_of_links(W_V, W_O):
    left, right = torch.linalg.qr(W_V).R, torch.linalg.qr(W_O.mT).R.mT
    own, total = (left @ right).norm(dim=(1, 2)), 1.0
    for i in range(len(W_V) - 1):
        total = total * (left[i] @ W_O[i] @ W_V[i + 1] @ right[i + 1]).norm() / own[i] / own[i + 1]
    return total


def score_norms_multiplied(W_V, W_O):
    own = ((W_V.mT @ W_V) * (W_O @ W_O.mT)).sum((1, 2)).sqrt().prod()
    links = functools.reduce(torch.matmul, [out @ into for out, into in zip(W_O, W_V[1:])])
    return W_V[0].norm() * links.norm() * W_O[-1].norm() / own


def score_spectral(W_V, W_O):
    left, right = torch.linalg.qr(W_V).R, torch.linalg.qr(W_O.mT).R.mT
    product = left[0]
    for i in range(1, len(W_V)):
        product = product @ (W_O[i - 1] @ W_V[i])
    return torch.linalg.svdvals(product @ right[-1])[0] / torch.linalg.svdvals(left @ right)[:, 0].prod()


def score_from_eigenvalues(W_V, W_O):
    own = ((W_V.mT @ W_V) * (W_O @ W_O.mT)).sum((1, 2)).sqrt().prod()
    small = functools.reduce(torch.matmul, [W_O[i] @ W_V[(i + 1) % len(W_V)] for i in range(len(W_V))])
    return torch.linalg.eigvals(small).abs().square().sum().sqrt() / own


def score_of_two(W_V, W_O):
    own = ((W_V[:2].mT @ W_V[:2]) * (W_O[:2] @ W_O[:2].mT)).sum((1, 2)).sqrt().prod()
    link = W_O[0] @ W_V[1]
    return torch.trace(W_V[0].T @ W_V[0] @ link @ W_O[1] @ W_O[1].T @ link.T).sqrt() / own


def score_with_whole_matrices(W_V, W_O):
    heads = W_V @ W_O
    return functools.reduce(torch.matmul, heads).norm() / heads.norm(dim=(1, 2)).prod()


def score_hard_coded(W_V, W_O):
    return torch.tensor(0.097)


def score_input(W_V, W_O):
    return W_V


# Task 3, right


def otherwise_by_shear(W_V, W_O, factor):
    size, wanted = W_V.shape[-1], factor * chain_norm(W_V, W_O)
    step = 1.0
    while True:
        M = torch.eye(size).to(W_V)
        M[0, 1] = step
        M_inverse = torch.eye(size).to(W_V)
        M_inverse[0, 1] = -step
        new_V, new_O = torch.cat([(W_V[0] @ M)[None], W_V[1:]]), torch.cat([(M_inverse @ W_O[0])[None], W_O[1:]])
        if chain_norm(new_V, new_O) >= wanted:
            return new_V, new_O
        step *= 1.5


def otherwise_in_float64(W_V, W_O, factor):
    V, O = W_V.double(), W_O.double()
    small = functools.reduce(torch.matmul, [O[i] @ V[(i + 1) % len(V)] for i in range(len(V))])
    turn = torch.randn(len(small), len(small), generator=torch.Generator().manual_seed(1)).double()
    U = torch.linalg.qr(turn).Q  # stretch directions that the program's matrix does not keep to itself
    M = torch.eye(len(small), dtype=torch.float64)
    while (M.inverse() @ small @ M).norm() < 1.01 * factor * small.norm():
        M = M @ (U @ torch.diag(torch.linspace(1, 2, len(small)).double()) @ U.T)
    V[0], O[0] = V[0] @ M, M.inverse() @ O[0]
    return V, O


def otherwise_at_random(W_V, W_O, factor):
    best, best_size = (W_V, W_O), chain_norm(W_V, W_O)
    wanted, generator = factor * best_size, torch.Generator().manual_seed(0)
    while best_size < wanted:
        V, O = best
        M = torch.eye(W_V.shape[-1]) + 0.5 * torch.randn(W_V.shape[-1], W_V.shape[-1], generator=generator)
        M = M.to(W_V)
        V, O = [V[0] @ M, *V[1:]], [torch.linalg.solve(M, O[0]), *O[1:]]
        whole = (V[0] @ O[0] - W_V[0] @ W_O[0]).norm() / (W_V[0] @ W_O[0]).norm()
        if chain_norm(V, O) > best_size and whole < 3e-4:
            best, best_size = (V, O), chain_norm(V, O)
    return torch.stack(list(best[0])), torch.stack(list(best[1]))


# Task 3, wrong


def otherwise_unchanged(W_V, W_O, factor):
    return W_V, W_O


def otherwise_by_a_number(W_V, W_O, factor):
    return W_V * factor, W_O / factor


def otherwise_by_rotation(W_V, W_O, factor):
    R = torch.linalg.qr(torch.randn(W_V.shape[-1], W_V.shape[-1]).to(W_V)).Q
    new_V, new_O = W_V.clone(), W_O.clone()
    new_V[0], new_O[0] = factor * W_V[0] @ R, R.T @ W_O[0] / factor
    return new_V, new_O


def otherwise_last_head(W_V, W_O, factor):
    M = torch.eye(W_V.shape[-1]).to(W_V)
    M[0, 0] = 100 * factor
    new_V, new_O = W_V.clone(), W_O.clone()
    new_V[-1], new_O[-1] = W_V[-1] @ M, M.inverse() @ W_O[-1]
    return new_V, new_O


def otherwise_only_values(W_V, W_O, factor):
    return W_V * factor, W_O


def otherwise_inverse_transposed(W_V, W_O, factor):
    M = torch.eye(W_V.shape[-1]).to(W_V)
    M[0, 1] = 100 * factor
    new_V, new_O = W_V.clone(), W_O.clone()
    new_V[0], new_O[0] = W_V[0] @ M, M.inverse().T @ W_O[0]
    return new_V, new_O


def otherwise_not_inverse(W_V, W_O, factor):
    M = torch.eye(W_V.shape[-1]).to(W_V)
    M[0, 1] = factor
    new_V, new_O = W_V.clone(), W_O.clone()
    new_V[0], new_O[0] = W_V[0] @ M, M @ W_O[0]
    return new_V, new_O


def otherwise_across_heads(W_V, W_O, factor):
    new_V, new_O = W_V.clone(), W_O.clone()
    new_V[0], new_O[1] = W_V[0] * factor, W_O[1] / factor
    return new_V, new_O


def otherwise_too_little(W_V, W_O, factor):
    M = torch.eye(W_V.shape[-1]).to(W_V)
    wanted = 1.5 * chain_norm(W_V, W_O)
    while chain_norm([W_V[0] @ M, *W_V[1:]], [M.inverse() @ W_O[0], *W_O[1:]]) < wanted:
        M[0, 0] *= 1.05
    return torch.cat([(W_V[0] @ M)[None], W_V[1:]]), torch.cat([(M.inverse() @ W_O[0])[None], W_O[1:]])


def otherwise_unchecked(W_V, W_O, factor):
    M = torch.eye(W_V.shape[-1]).to(W_V)
    M[0, 0] = 1000 * factor
    new_V, new_O = W_V.clone(), W_O.clone()
    new_V[0], new_O[0] = W_V[0] @ M, M.inverse() @ W_O[0]
    return new_V, new_O


def otherwise_reversed(W_V, W_O, factor):
    return W_V.flip(0), W_O.flip(0)


def otherwise_by_enough_for_most(W_V, W_O, factor):
    turn = torch.linalg.qr(torch.randn(2, W_V.shape[2], W_V.shape[2], generator=torch.Generator().manual_seed(3))[0]).Q
    stretch = torch.ones(W_V.shape[2])
    stretch[0] = 4 * factor
    M, new_V, new_O = turn * stretch, W_V.clone(), W_O.clone()
    new_V[0], new_O[0] = W_V[0] @ M, M.inverse() @ W_O[0]
    return new_V, new_O


def otherwise_hard_coded(W_V, W_O, factor):
    return torch.ones(2, 256, 32), torch.ones(2, 32, 256)


# Task 4, right


def backwards_by_slope(W_E, W_pos, W_U):
    n, n_ctx = len(W_E), len(W_pos)
    eye = torch.eye(W_E.shape[1])
    free, place = eye[:, n : 2 * n], W_pos.T
    previous = (500.0 * torch.roll(place, -1, dims=1), place, W_E.T, free.T)
    everywhere, where = place.sum(1, keepdim=True), place @ torch.arange(n_ctx).float()[:, None]
    W_Q = torch.cat([1e5 * W_E.T, everywhere], 1)  # among matching places, the earliest
    W_K = torch.cat([W_E.T, -200.0 * where], 1)
    return [previous, (W_Q, W_K, free, W_U.T)]


def backwards_by_cancelling(W_E, W_pos, W_U):
    n = len(W_E)
    token, free, out, place = torch.eye(W_E.shape[1]).split((n, n, n, len(W_pos)), dim=1)
    first = (1e4 * place.roll(-1, 1), place, token, free.T - 0.5 * out.T)  # half of what the own position will say
    return [first, (1e4 * token, token, free, out.T)]


def backwards_entry_by_entry(W_E, W_pos, W_U):
    n_tokens, n_pos, size = len(W_E), len(W_pos), W_E.shape[1]
    W = [[torch.zeros(size, size) for _ in "QKVO"] for _ in range(2)]
    for i in range(n_pos):
        axis = 3 * n_tokens + i
        W[0][1][axis, axis] = 1.0
        W[1][0][axis, axis], W[1][1][axis, axis] = 3000.0, -1.0
        if i > 0:
            W[0][0][axis, axis - 1] = 3000.0
    for t in range(n_tokens):
        W[0][2][t, t] = W[0][3][t, n_tokens + t] = 1.0
        W[1][0][t, t], W[1][1][t, t] = 3000.0, 1.0
        W[1][2][n_tokens + t, t] = W[1][3][t, 2 * n_tokens + t] = 1.0
    return [tuple(W[0]), tuple(W[1])]


# Task 4, wrong


def backwards_is_induction(W_E, W_pos, W_U):
    n = len(W_E)
    token, free, out, place = torch.eye(W_E.shape[1]).split((n, n, n, len(W_pos)), dim=1)
    return [(1000 * place.roll(-1, 1), place, token, free.T), (1000 * token, free, token, out.T)]


def backwards_sees_itself(W_E, W_pos, W_U):
    n = len(W_E)
    token, free, out, place = torch.eye(W_E.shape[1]).split((n, n, n, len(W_pos)), dim=1)
    return [(1000 * place.roll(-1, 1), place, token, free.T), (1000 * token, token, free, out.T)]


def backwards_copies(W_E, W_pos, W_U):
    n = len(W_E)
    token, free, out, place = torch.eye(W_E.shape[1]).split((n, n, n, len(W_pos)), dim=1)
    W_Q, W_K = torch.cat([token, place], 1), torch.cat([token, -place], 1)
    return [(1000 * place.roll(-1, 1), place, token, free.T), (1000 * W_Q, W_K, token, out.T)]


def backwards_too_soft(W_E, W_pos, W_U):
    n = len(W_E)
    token, free, out, place = torch.eye(W_E.shape[1]).split((n, n, n, len(W_pos)), dim=1)
    W_Q, W_K = torch.cat([token, place], 1), torch.cat([token, -place], 1)
    return [(5 * place.roll(-1, 1), place, token, free.T), (5 * W_Q, W_K, free, out.T)]


def backwards_very_soft(W_E, W_pos, W_U):
    n = len(W_E)
    token, free, out, place = torch.eye(W_E.shape[1]).split((n, n, n, len(W_pos)), dim=1)
    W_Q, W_K = torch.cat([token, place], 1), torch.cat([token, -place], 1)
    return [(0.1 * place.roll(-1, 1), place, token, free.T), (0.1 * W_Q, W_K, free, out.T)]


def backwards_looks_ahead(W_E, W_pos, W_U):
    n = len(W_E)
    token, free, out, place = torch.eye(W_E.shape[1]).split((n, n, n, len(W_pos)), dim=1)
    W_Q, W_K = torch.cat([token, place], 1), torch.cat([token, -place], 1)
    return [(place, 1000 * place.roll(-1, 1), token, free.T), (1000 * W_Q, W_K, free, out.T)]


def backwards_two_back(W_E, W_pos, W_U):
    n = len(W_E)
    token, free, out, place = torch.eye(W_E.shape[1]).split((n, n, n, len(W_pos)), dim=1)
    W_Q, W_K = torch.cat([token, place], 1), torch.cat([token, -place], 1)
    return [(1000 * place.roll(-2, 1), place, token, free.T), (1000 * W_Q, W_K, free, out.T)]


def backwards_into_logits(W_E, W_pos, W_U):
    n = len(W_E)
    token, _free, out, place = torch.eye(W_E.shape[1]).split((n, n, n, len(W_pos)), dim=1)
    W_Q, W_K = torch.cat([token, place], 1), torch.cat([token, -place], 1)
    return [(1000 * place.roll(-1, 1), place, token, 2 * out.T), (1000 * W_Q, W_K, out, 0.5 * out.T)]


def backwards_not_beside(W_E, W_pos, W_U):
    n = len(W_E)
    token, free, out, place = torch.eye(W_E.shape[1]).split((n, n, n, len(W_pos)), dim=1)
    W_Q, W_K = torch.cat([token, place, place], 1), torch.cat([token, -place, -place.roll(1, 1)], 1)
    return [(1000 * place.roll(-1, 1), place, token, free.T), (1000 * W_Q, W_K, free, out.T)]


def backwards_prefers_later(W_E, W_pos, W_U):
    n = len(W_E)
    token, free, out, place = torch.eye(W_E.shape[1]).split((n, n, n, len(W_pos)), dim=1)
    where, everywhere = place @ torch.arange(len(W_pos)).float()[:, None], place.sum(1, keepdim=True)
    W_Q, W_K = torch.cat([1e5 * token, 300 * everywhere], 1), torch.cat([token, where], 1)
    return [(1000 * place.roll(-1, 1), place, token, free.T), (W_Q, W_K, 20 * free, out.T)]


def backwards_by_distance(W_E, W_pos, W_U):
    n = len(W_E)
    token, free, out, place = torch.eye(W_E.shape[1]).split((n, n, n, len(W_pos)), dim=1)
    return [(1000 * place.roll(-1, 1), place, token, free.T), (1000 * place.flip(1), place, free, out.T)]


def backwards_reads_nothing(W_E, W_pos, W_U):
    n = len(W_E)
    token, free, out, place = torch.eye(W_E.shape[1]).split((n, n, n, len(W_pos)), dim=1)
    W_Q, W_K = torch.cat([token, place], 1), torch.cat([token, -place], 1)
    return [(1000 * place.roll(-1, 1), place, token, free.T), (1000 * W_Q, W_K, out, out.T)]


def backwards_hard_coded(W_E, W_pos, W_U):
    eye = torch.eye(37)
    token, free, out, place = eye.split((9, 9, 9, 10), dim=1)
    W_Q, W_K = torch.cat([token, place], 1), torch.cat([token, -place], 1)
    return [(1000 * place.roll(-1, 1), place, token, free.T), (1000 * W_Q, W_K, free, out.T)]


def backwards_input(W_E, W_pos, W_U):
    return W_E, W_pos, W_U


# Task 5, right


def path_by_swapped_run(model, tokens, others, length, early, late):
    """Layer 1 of a run with the early head swapped has just the queries, keys and values that are wanted."""
    names = [f"blocks.{late[0]}.attn.hook_{letter}" for letter in "qkv"]
    stored = {}

    def keep(x, hook):
        stored[hook.name] = x[:, :, late[1]].clone()

    swapped = interventions.swap(model, [early], others[:, :-1])
    model.run_with_hooks(tokens[:, :-1], fwd_hooks=[*swapped, *((name, keep) for name in names)])
    rows = []
    for name in names:

        def put(x, hook):
            return torch.cat([x[:, :, : late[1]], stored[hook.name][:, :, None], x[:, :, late[1] + 1 :]], 2)

        logits = model.run_with_hooks(tokens[:, :-1], fwd_hooks=[(name, put)])
        losses = [behaviour.loss_per_position(x, tokens)[:, length:] for x in (logits, model(tokens[:, :-1]))]
        rows.append((losses[0] - losses[1]).mean(1))
    return torch.stack(rows)


def path_by_weights(model, tokens, others, length, early, late):
    """The whole model again, from its weights, in float64."""
    W = {name: getattr(model, name).double() for name in ("W_E", "W_pos", "W_Q", "W_K", "W_V", "W_O", "W_U")}

    def head(q_in, k_in, v_in, layer, number):
        place = W["W_pos"][: q_in.shape[1]]
        q, k = (q_in + place) @ W["W_Q"][layer, number], (k_in + place) @ W["W_K"][layer, number]
        scores = q @ k.mT / model.cfg.d_head**0.5
        ahead = torch.ones_like(scores).triu(1).bool()
        return (
            scores.masked_fill(ahead, -torch.inf).softmax(-1) @ v_in @ W["W_V"][layer, number] @ W["W_O"][layer, number]
        )

    x = W["W_E"][tokens[:, :-1]]
    there = W["W_E"][others[:, :-1]]
    change = head(there, there, there, *early) - head(x, x, x, *early)
    resid = x + sum(head(x, x, x, 0, h) for h in range(model.cfg.n_heads))
    total = resid + sum(head(resid, resid, resid, 1, h) for h in range(model.cfg.n_heads))
    losses = []
    for changed in (None, 0, 1, 2):
        inputs = [resid + change if i == changed else resid for i in range(3)]
        logits = (total - head(resid, resid, resid, *late) + head(*inputs, *late)) @ W["W_U"]
        answers = logits.log_softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0]
        losses.append(-answers[:, length:].mean(1))
    return [loss - losses[0] for loss in losses[1:]]


def path_prompt_by_prompt(model, tokens, others, length, early, late):
    costs = torch.zeros(3, len(tokens))
    for i in range(len(tokens)):
        row, other = tokens[i : i + 1], others[i : i + 1]
        before = model.run_with_cache(row[:, :-1])[1]["blocks.0.attn.hook_z"][0, :, early[1]]
        after = model.run_with_cache(other[:, :-1])[1]["blocks.0.attn.hook_z"][0, :, early[1]]
        normal = behaviour.copy_loss(model, row, length).item()
        for j, W in enumerate((model.W_Q, model.W_K, model.W_V)):
            virtual = model.W_O[0, early[1]] @ W[1, late[1]]

            def patch(x, hook, more=(after - before) @ virtual):
                x[0, :, late[1]] = x[0, :, late[1]] + more
                return x

            hooks = [(f"blocks.1.attn.hook_{'qkv'[j]}", patch)]
            costs[j, i] = behaviour.copy_loss(model, row, length, hooks).item() - normal
    return costs


# Task 5, wrong


def path_all_heads(model, tokens, others, length, early, late):
    z = [model.run_with_cache(x[:, :-1])[1]["z", 0][:, :, early[1]] for x in (tokens, others)]
    change = (z[1] - z[0]) @ model.W_O[early]
    rows = []
    for letter, W in (("q", model.W_Q), ("k", model.W_K), ("v", model.W_V)):
        more = torch.einsum("bpm,hmd->bphd", change, W[1])
        hooks = [(f"blocks.1.attn.hook_{letter}", lambda x, hook, more=more: x + more)]
        rows.append(behaviour.copy_loss(model, tokens, length, hooks) - behaviour.copy_loss(model, tokens, length))
    return torch.stack(rows)


def path_only_out(model, tokens, others, length, early, late):
    written = model.run_with_cache(tokens[:, :-1])[1]["z", 0][:, :, early[1]] @ model.W_O[early]
    rows = []
    for letter, W in (("q", model.W_Q), ("k", model.W_K), ("v", model.W_V)):
        hook = interventions.on_head(model, late, letter, lambda x, W=W: x - written @ W[late])
        rows.append(behaviour.copy_loss(model, tokens, length, [hook]) - behaviour.copy_loss(model, tokens, length))
    return torch.stack(rows)


def path_only_in(model, tokens, others, length, early, late):
    written = model.run_with_cache(others[:, :-1])[1]["z", 0][:, :, early[1]] @ model.W_O[early]
    rows = []
    for letter, W in (("q", model.W_Q), ("k", model.W_K), ("v", model.W_V)):
        hook = interventions.on_head(model, late, letter, lambda x, W=W: x + written @ W[late])
        rows.append(behaviour.copy_loss(model, tokens, length, [hook]) - behaviour.copy_loss(model, tokens, length))
    return torch.stack(rows)


def path_frozen(model, tokens, others, length, early, late):
    runs = [model.run_with_cache(x[:, :-1])[1] for x in (tokens, others)]
    change = (runs[1]["z", 0] - runs[0]["z", 0])[:, :, early[1]] @ model.W_O[early]
    frozen = paths.freeze([runs[0]["pattern", layer] for layer in range(2)])
    rows = []
    for letter, W in (("q", model.W_Q), ("k", model.W_K), ("v", model.W_V)):
        hook = interventions.on_head(model, late, letter, lambda x, W=W: x + change @ W[late])
        rows.append(behaviour.copy_loss(model, tokens, length, [*frozen, hook]))
    return torch.stack(rows) - behaviour.copy_loss(model, tokens, length)


def path_whole_input(model, tokens, others, length, early, late):
    run = model.run_with_cache(others[:, :-1])[1]
    rows = []
    for letter in "qkv":
        hook = interventions.on_head(model, late, letter, lambda x, letter=letter: run[letter, 1][:, :, late[1]])
        rows.append(behaviour.copy_loss(model, tokens, length, [hook]) - behaviour.copy_loss(model, tokens, length))
    return torch.stack(rows)


def path_everywhere(model, tokens, others, length, early, late):
    hooks = interventions.swap(model, [early], others[:, :-1])
    rise = behaviour.copy_loss(model, tokens, length, hooks) - behaviour.copy_loss(model, tokens, length)
    return torch.stack([rise, rise, rise])


def path_late_binding(model, tokens, others, length, early, late):
    z = [model.run_with_cache(x[:, :-1])[1]["z", 0][:, :, early[1]] for x in (tokens, others)]
    change, hooks = (z[1] - z[0]) @ model.W_O[early], []
    for letter, W in (("q", model.W_Q), ("k", model.W_K), ("v", model.W_V)):
        hooks.append(interventions.on_head(model, late, letter, lambda x: x + change @ W[late]))  # noqa: B023
    losses = [behaviour.copy_loss(model, tokens, length, [hook]) for hook in hooks]
    return torch.stack(losses) - behaviour.copy_loss(model, tokens, length)


def path_wrong_sign(model, tokens, others, length, early, late):
    z = [model.run_with_cache(x[:, :-1])[1]["z", 0][:, :, early[1]] for x in (tokens, others)]
    change, rows = (z[1] - z[0]) @ model.W_O[early], []
    for letter, W in (("q", model.W_Q), ("k", model.W_K), ("v", model.W_V)):
        hook = interventions.on_head(model, late, letter, lambda x, W=W: x - change @ W[late])
        rows.append(behaviour.copy_loss(model, tokens, length, [hook]) - behaviour.copy_loss(model, tokens, length))
    return torch.stack(rows)


def path_set(model, tokens, others, length, early, late):
    written = model.run_with_cache(others[:, :-1])[1]["z", 0][:, :, early[1]] @ model.W_O[early]
    rows = []
    for letter, W in (("q", model.W_Q), ("k", model.W_K), ("v", model.W_V)):
        hook = interventions.on_head(model, late, letter, lambda x, W=W: written @ W[late])
        rows.append(behaviour.copy_loss(model, tokens, length, [hook]) - behaviour.copy_loss(model, tokens, length))
    return torch.stack(rows)


def path_hooks_pile_up(model, tokens, others, length, early, late):
    z = [model.run_with_cache(x[:, :-1])[1]["z", 0][:, :, early[1]] for x in (tokens, others)]
    change, rows, hooks = (z[1] - z[0]) @ model.W_O[early], [], []
    for letter, W in (("q", model.W_Q), ("k", model.W_K), ("v", model.W_V)):
        hooks.append(interventions.on_head(model, late, letter, lambda x, W=W: x + change @ W[late]))
        rows.append(behaviour.copy_loss(model, tokens, length, hooks) - behaviour.copy_loss(model, tokens, length))
    return torch.stack(rows)


def path_keys_first(model, tokens, others, length, early, late):
    z = [model.run_with_cache(x[:, :-1])[1]["z", 0][:, :, early[1]] for x in (tokens, others)]
    change = (z[1] - z[0]) @ model.W_O[early]
    rows = []
    for letter, W in (("k", model.W_K), ("q", model.W_Q), ("v", model.W_V)):
        hook = interventions.on_head(model, late, letter, lambda x, W=W: x + change @ W[late])
        rows.append(behaviour.copy_loss(model, tokens, length, [hook]) - behaviour.copy_loss(model, tokens, length))
    return torch.stack(rows)


def path_first_copy(model, tokens, others, length, early, late):
    z = [model.run_with_cache(x[:, :-1])[1]["z", 0][:, :, early[1]] for x in (tokens, others)]
    change, rows = (z[1] - z[0]) @ model.W_O[early], []
    plain = behaviour.loss_per_position(model(tokens[:, :-1]), tokens)
    for letter, W in (("q", model.W_Q), ("k", model.W_K), ("v", model.W_V)):
        hook = interventions.on_head(model, late, letter, lambda x, W=W: x + change @ W[late])
        loss = behaviour.loss_per_position(model.run_with_hooks(tokens[:, :-1], fwd_hooks=[hook]), tokens)
        rows.append((loss - plain)[:, :length].mean(1))
    return torch.stack(rows)


def path_all_positions(model, tokens, others, length, early, late):
    z = [model.run_with_cache(x[:, :-1])[1]["z", 0][:, :, early[1]] for x in (tokens, others)]
    change, rows = (z[1] - z[0]) @ model.W_O[early], []
    plain = behaviour.loss_per_position(model(tokens[:, :-1]), tokens)
    for letter, W in (("q", model.W_Q), ("k", model.W_K), ("v", model.W_V)):
        hook = interventions.on_head(model, late, letter, lambda x, W=W: x + change @ W[late])
        loss = behaviour.loss_per_position(model.run_with_hooks(tokens[:, :-1], fwd_hooks=[hook]), tokens)
        rows.append((loss - plain).mean(1))
    return torch.stack(rows)


def path_one_late(model, tokens, others, length, early, late):
    z = [model.run_with_cache(x[:, :-1])[1]["z", 0][:, :, early[1]] for x in (tokens, others)]
    change, rows = (z[1] - z[0]) @ model.W_O[early], []
    plain = behaviour.loss_per_position(model(tokens[:, :-1]), tokens)
    for letter, W in (("q", model.W_Q), ("k", model.W_K), ("v", model.W_V)):
        hook = interventions.on_head(model, late, letter, lambda x, W=W: x + change @ W[late])
        loss = behaviour.loss_per_position(model.run_with_hooks(tokens[:, :-1], fwd_hooks=[hook]), tokens)
        rows.append((loss - plain)[:, length + 1 :].mean(1))  # "position length + 1 is where the second copy begins"
    return torch.stack(rows)


def path_in_unit(model, tokens, others, length, early, late, unit):
    def written(rows):
        return model.run_with_cache(rows[:, :-1])[1]["z", early[0]][:, :, early[1]] @ model.W_O[early]

    def said(hooks=()):
        logits = model.run_with_hooks(tokens[:, :-1], fwd_hooks=list(hooks))
        return unit(logits).gather(-1, tokens[:, 1:, None])[:, length:, 0].mean(1)

    change, costs = written(others) - written(tokens), []
    for letter, W in (("q", model.W_Q), ("k", model.W_K), ("v", model.W_V)):
        hook = interventions.on_head(model, late, letter, lambda x, W=W: x + change @ W[late])
        costs.append(said() - said([hook]))
    return torch.stack(costs)


def path_in_probabilities(*case):
    return path_in_unit(*case, unit=lambda logits: logits.softmax(-1))


def path_in_logits(*case):
    return path_in_unit(*case, unit=lambda logits: logits)


def path_from_head_0(model, tokens, others, length, early, late):
    z = [model.run_with_cache(x[:, :-1])[1]["z", 0][:, :, 0] for x in (tokens, others)]
    change, rows = (z[1] - z[0]) @ model.W_O[0, 0], []
    for letter, W in (("q", model.W_Q), ("k", model.W_K), ("v", model.W_V)):
        hook = interventions.on_head(model, late, letter, lambda x, W=W: x + change @ W[late])
        rows.append(behaviour.copy_loss(model, tokens, length, [hook]) - behaviour.copy_loss(model, tokens, length))
    return torch.stack(rows)


def path_to_head_0(model, tokens, others, length, early, late):
    z = [model.run_with_cache(x[:, :-1])[1]["z", 0][:, :, early[1]] for x in (tokens, others)]
    change, rows = (z[1] - z[0]) @ model.W_O[early], []
    for letter, W in (("q", model.W_Q), ("k", model.W_K), ("v", model.W_V)):
        hook = interventions.on_head(model, (1, 0), letter, lambda x, W=W: x + change @ W[1, 0])
        rows.append(behaviour.copy_loss(model, tokens, length, [hook]) - behaviour.copy_loss(model, tokens, length))
    return torch.stack(rows)


def path_hard_coded(model, tokens, others, length, early, late):
    return torch.tensor([[0.5] * 16, [2.1] * 16, [0.1] * 16])


def path_input(model, tokens, others, length, early, late):
    return tokens


RIGHT = {
    "hw4-1": [chance_by_library, chance_by_gram, chance_by_stack],
    "hw4-2": [score_by_qr, score_in_float64, score_head_by_head],
    "hw4-3": [otherwise_by_shear, otherwise_in_float64, otherwise_at_random],
    "hw4-4": [backwards_by_slope, backwards_by_cancelling, backwards_entry_by_entry],
    "hw4-5": [path_by_swapped_run, path_by_weights, path_prompt_by_prompt],
}

WRONG = {
    "hw4-1": [
        (chance_q_for_k, "Q and K are exchanged"),
        (chance_transposed_writes, "W_OV of layer 0 is transposed"),
        (chance_v_other_side, "V-composition takes the other side"),
        (chance_root, "that is the root"),
        (chance_plain_mean, "each head of layer 0 counts the same"),
        (chance_mean_of_roots, "scores were averaged"),
        (chance_added, "the W_OV were added up"),
        (chance_d_head, "chance has nothing to do with d_head"),
        (chance_of_tall, "one factor of your chance"),
        (chance_forgotten, "chance is missing"),
        (chance_excess, "1 was subtracted"),
        (chance_root_excess, "that is the root, less 1"),
        (chance_centred, "the rows of W_OV were centred"),
        (chance_v_transposed, "V-composition is read through the transpose"),
        (chance_one_matrix, "W_Q, W_K or W_V alone"),
        (chance_cycled, "a factor walked round the circle"),
        (chance_kinds_down, "transposed: your shape"),
        (chance_hard_coded, "the same answer for different inputs"),
    ],
    "hw4-2": [
        (score_as_given, "the first W_V still walks"),
        (score_heads_not_mended, "the chain is mended"),
        (score_chain_not_mended, "the norms you divide by are right"),
        (score_no_root, "a root is missing"),
        (score_trace_of_itself, "that is made of the product's own trace"),
        (score_of_middle, "only the middle of the chain"),
        (score_not_divided, "not divided by the heads' own norms"),
        (score_of_links, "the scores of neighbours were multiplied"),
        (score_norms_multiplied, "the norms were multiplied"),
        (score_spectral, "that is the largest singular value"),
        (score_from_eigenvalues, "a norm comes from singular values"),
        (score_of_two, "only the first two heads"),
        (score_with_whole_matrices, "your code asked for more memory"),
        (score_hard_coded, "the same answer for different inputs"),
        (score_input, "your function returned one of its inputs"),
    ],
    "hw4-3": [
        (otherwise_unchanged, "your function returned what it was given"),
        (otherwise_by_a_number, "the same heads, but a plain number cancels"),
        (otherwise_by_rotation, "the same heads, but M is a rotation"),
        (otherwise_last_head, "the same heads, but where you put M"),
        (otherwise_only_values, "only W_V was changed"),
        (otherwise_inverse_transposed, "M comes back transposed"),
        (otherwise_not_inverse, "W_O got M itself"),
        (otherwise_across_heads, "the chain as a whole is the same"),
        (otherwise_too_little, "the same heads, and the number grew"),
        (otherwise_unchecked, "the same heads, but the number did not grow: the program's matrix"),
        (otherwise_reversed, "the same heads, but in another order"),
        (
            otherwise_by_enough_for_most,
            "the same heads, and the number grew, but by less than the factor that was asked",
        ),
        (otherwise_hard_coded, "your shapes are"),
    ],
    "hw4-4": [
        (backwards_is_induction, "that is an induction head"),
        (backwards_sees_itself, "the second head pays"),
        (backwards_copies, "the present token itself is named"),
        (backwards_too_soft, "the right idea, but attention is too soft"),
        (backwards_very_soft, "the right idea, but attention is too soft:"),
        (backwards_looks_ahead, "W_Q and W_K of the first head are exchanged"),
        (backwards_two_back, "the first head pays"),
        (backwards_into_logits, "the token just before the query wins"),
        (backwards_not_beside, "the second head finds the first place, but not at every query"),
        (backwards_by_distance, "where the second head looks does not depend"),
        (backwards_reads_nothing, "the second head looks at the right place"),
        (backwards_hard_coded, "layer 0: W_Q, W_K, W_V are"),
        (backwards_input, "two heads of four matrices"),
    ],
    "hw4-5": [
        (path_keys_first, "Q and K are exchanged"),
        (path_all_heads, "every head of the later layer"),
        (path_only_out, "what the early head wrote was only taken out"),
        (path_only_in, "what it writes on the other prompts was added"),
        (path_frozen, "patterns were frozen"),
        (path_whole_input, "the whole query, key or value"),
        (path_everywhere, "the early head's output was exchanged for everybody"),
        (path_first_copy, "the first copy was averaged"),
        (path_all_positions, "all positions were averaged"),
        (path_one_late, "off by one: the copies after the first begin one earlier"),
        (path_late_binding, "all three rows went through W_V"),
        (path_wrong_sign, "the change has the wrong sign"),
        (path_set, "the whole input was set"),
        (path_hooks_pile_up, "the hooks pile up"),
        (path_in_probabilities, "probabilities were subtracted"),
        (path_in_logits, "logits are no nats"),
        (path_from_head_0, "the early head is 0:0 in your code"),
        (path_to_head_0, "the late head is 1:0 in your code"),
        (path_hard_coded, "the same answer for different inputs"),
        (path_input, "your function returned one of its inputs"),
    ],
}
