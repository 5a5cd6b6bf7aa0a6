"""Homework 6 as students might hand it in: right answers of several kinds, and wrong ones with what should be said."""

import itertools

import torch

from walkthrough import interventions, paths
from walkthrough.beyond import editing, smaller

# Task 1, right


def edit_by_projection(W_V, W_O, stream, read, kept, wanted):
    change, found = wanted - stream @ W_V @ W_O @ read, []
    Q = torch.linalg.qr(kept.T).Q
    left = stream - Q @ (Q.T @ stream)
    right = torch.linalg.pinv(W_O).T @ read
    D = change * torch.outer(left, right) / ((stream @ left) * (right @ W_O @ read))
    found.append(((D @ W_O).norm(), W_V + D, W_O))
    gram = W_V.T @ W_V
    x = torch.linalg.inv(gram) @ (W_V.T @ stream)
    K = torch.linalg.inv(gram) @ (kept @ W_V).T
    x = x - K @ torch.linalg.solve((kept @ W_V) @ K, (kept @ W_V) @ x)
    D = change * torch.outer(x, read) / ((stream @ W_V @ x) * (read @ read))
    found.append(((W_V @ D).norm(), W_V, W_O + D))
    return min(found, key=lambda each: each[0])[1:]


def edit_by_equations(W_V, W_O, stream, read, kept, wanted):
    V, O, s, r, K = (x.double() for x in (W_V, W_O, stream, read, kept))
    change, found = wanted - s @ V @ O @ r, []
    goal = torch.zeros(len(K) + 1).double()
    goal[-1] = change
    rows = torch.cat([K, s[None]])
    left = torch.linalg.pinv(rows) @ goal  # the shortest with rows · left = goal
    into = torch.linalg.pinv(O) @ O @ r
    D = torch.outer(left, into / (into @ into)) @ torch.linalg.pinv(O)
    found.append((V + D, O))
    left = torch.linalg.pinv(rows @ V @ torch.linalg.pinv(V)) @ goal
    D = torch.linalg.pinv(V) @ torch.outer(left, r / (r @ r))
    found.append((V, O + D))
    return min(found, key=lambda pair: (pair[0] @ pair[1] - V @ O).norm())


def edit_by_library(W_V, W_O, stream, read, kept, wanted):
    def turned(A, B, s, r, costs):
        left, right = editing.least_change(s, r, float(wanted - old), *costs)
        return torch.outer(left, right)

    old = stream @ W_V @ W_O @ read
    free = stream - torch.linalg.pinv(kept) @ (kept @ stream)
    by_V = turned(W_V, W_O, free, W_O @ read, (None, W_O @ W_O.T))
    Q, R = torch.linalg.qr(W_V)
    inside = kept @ Q
    s = stream @ Q
    s = s - torch.linalg.pinv(inside) @ (inside @ s)
    by_O = torch.linalg.solve(R, turned(None, None, s, read, (None, None)))
    if (by_V @ W_O).norm() < (W_V @ by_O).norm():
        return W_V + by_V, W_O
    return [W_V, W_O + by_O]


# Task 1, wrong


def both_edits(W_V, W_O, stream, read, kept, wanted, *, own=False, keep=True, sign=1.0, goal=None):
    """The least edit of each matrix, or some other; and the norm of what each adds."""
    change = sign * ((wanted if goal is None else goal) - stream @ W_V @ W_O @ read)
    left = stream - torch.linalg.pinv(kept) @ (kept @ stream) if keep else stream
    right = W_O @ read if own else torch.linalg.pinv(W_O).T @ read
    D_V = change * torch.outer(left, right) / ((stream @ left) * (right @ W_O @ read))
    if own:
        inside, s = kept @ W_V, stream @ W_V
        x = s - torch.linalg.pinv(inside) @ (inside @ s)
    else:
        P = W_V @ torch.linalg.pinv(W_V)
        inside, s = kept @ P, P @ stream
        x = torch.linalg.pinv(W_V) @ (s - torch.linalg.pinv(inside) @ (inside @ s) if keep else s)
    D_O = change * torch.outer(x, read) / ((stream @ W_V @ x) * (read @ read))
    return (D_V, (D_V @ W_O).norm()), (D_O, (W_V @ D_O).norm())


def smaller_of(W_V, W_O, edits):
    (D_V, size_V), (D_O, size_O) = edits
    return (W_V + D_V, W_O) if size_V < size_O else (W_V, W_O + D_O)


def edit_only_V(W_V, W_O, *case):
    return W_V + both_edits(W_V, W_O, *case)[0][0], W_O


def edit_only_O(W_V, W_O, *case):
    return W_V, W_O + both_edits(W_V, W_O, *case)[1][0]


def edit_of_W_V_itself(W_V, W_O, *case):
    return W_V + both_edits(W_V, W_O, *case, own=True)[0][0], W_O


def edit_of_W_O_itself(W_V, W_O, *case):
    return W_V, W_O + both_edits(W_V, W_O, *case, own=True)[1][0]


def edit_keeping_nothing(W_V, W_O, *case):
    return smaller_of(W_V, W_O, both_edits(W_V, W_O, *case, keep=False))


def edit_one_after_the_other(W_V, W_O, stream, read, kept, wanted):
    left = stream
    for each in kept:
        left = left - (left @ each) / (each @ each) * each
    right = torch.linalg.pinv(W_O).T @ read
    change = wanted - stream @ W_V @ W_O @ read
    return W_V + change * torch.outer(left, right) / ((stream @ left) * (right @ W_O @ read)), W_O


def edit_keeping_one_logit(W_V, W_O, stream, read, kept, wanted):
    change, n = wanted - stream @ W_V @ W_O @ read, len(kept)
    right = torch.linalg.pinv(W_O).T @ read
    other = torch.randn(len(right), generator=torch.Generator().manual_seed(0)).to(right)
    other = other - (other @ (W_O @ read)) / ((W_O @ read) @ (W_O @ read)) * (W_O @ read)
    rows = torch.cat([kept, stream[None]])
    goal = torch.zeros(n + 1).to(rows)
    goal[-1] = change
    left = torch.linalg.pinv(rows) @ goal / (right @ W_O @ read)
    return W_V + torch.outer(left, right) + 0.3 * torch.outer(kept.mean(0), other), W_O


def edit_adding_wanted(W_V, W_O, stream, read, kept, wanted):
    old = stream @ W_V @ W_O @ read
    return smaller_of(W_V, W_O, both_edits(W_V, W_O, stream, read, kept, wanted, goal=wanted + old))


def edit_wrong_sign(W_V, W_O, *case):
    return smaller_of(W_V, W_O, both_edits(W_V, W_O, *case, sign=-1.0))


def edit_to_nothing(W_V, W_O, stream, read, kept, wanted):
    left = stream - torch.linalg.pinv(kept) @ (kept @ stream)
    return W_V - torch.outer(left, stream @ W_V) / (stream @ left), W_O


def edit_half_and_half(W_V, W_O, *case):
    (D_V, _), (D_O, _) = both_edits(W_V, W_O, *case)
    return W_V + D_V / 2, W_O + D_O / 2


def edit_without_rank(W_V, W_O, stream, read, kept, wanted):
    change = wanted - stream @ W_V @ W_O @ read
    left = stream - torch.linalg.pinv(kept) @ (kept @ stream)
    extra = change * torch.outer(left, read) / ((stream @ left) * (read @ read))
    return torch.cat([W_V, left[:, None]], 1), torch.cat([W_O, (extra.T @ left / (left @ left))[None]])


def edit_truncated(W_V, W_O, stream, read, kept, wanted):
    change = wanted - stream @ W_V @ W_O @ read
    left = stream - torch.linalg.pinv(kept) @ (kept @ stream)
    U, S, Vh = torch.linalg.svd(W_V @ W_O + change * torch.outer(left, read) / ((stream @ left) * (read @ read)))
    k = W_V.shape[1]
    return U[:, :k] * S[:k], Vh[:k]


def edit_wasteful(W_V, W_O, stream, read, kept, wanted):
    rest = torch.eye(len(stream)).to(W_V) - torch.linalg.pinv(kept) @ kept
    left = rest @ (
        stream / stream.norm() + torch.randn(len(stream), generator=torch.Generator().manual_seed(1)).to(W_V)
    )
    right = torch.linalg.pinv(W_O).T @ read
    change = wanted - stream @ W_V @ W_O @ read
    return W_V + change * torch.outer(left, right) / ((stream @ left) * (right @ W_O @ read)), W_O


def edit_to_the_side(W_V, W_O, stream, read, kept, wanted):
    rest = torch.randn(len(stream), generator=torch.Generator().manual_seed(2)).to(W_V)
    both = torch.cat([kept, stream[None]])
    rest = rest - torch.linalg.pinv(both) @ (both @ rest)
    return W_V + torch.outer(rest, torch.linalg.pinv(W_O).T @ read), W_O


def edit_nothing(W_V, W_O, stream, read, kept, wanted):
    return W_V, W_O


def edit_exchanged(W_V, W_O, *case):
    return edit_by_projection(W_V, W_O, *case)[::-1]


def edit_hard_coded(W_V, W_O, stream, read, kept, wanted):
    return torch.ones(256, 32), torch.ones(32, 256)


def edit_one_matrix(W_V, W_O, *case):
    return sum(edit_by_projection(W_V, W_O, *case)[0])


# Task 2, right


def hijack_by_circuits(model, previous, late, last, wrong):
    match = model.W_E @ model.W_Q[late] @ (model.W_E @ model.W_V[previous] @ model.W_O[previous] @ model.W_K[late]).T
    said = model.W_E @ model.W_V[late] @ model.W_O[late] @ model.W_U
    above = said[:, wrong] - said.masked_fill(torch.arange(said.shape[1]) == wrong, -torch.inf).amax(1)
    taken = match[last]
    for scores in (taken, above):
        scores[[0, last, wrong]] = -torch.inf
    return taken.argmax(), above.argmax()


def hijack_by_log_odds(model, previous, late, last, wrong):
    OV, first_OV = model.OV[late].AB, model.OV[previous].AB
    query = model.W_E[last] @ model.QK[late].AB
    order = (model.W_E @ first_OV @ query).argsort(descending=True).tolist()
    first = next(token for token in order if token not in (0, last, wrong))
    log_probs = (8 * model.W_E @ OV @ model.W_U).log_softmax(-1)[:, wrong]
    order = log_probs.argsort(descending=True).tolist()
    return [first, next(token for token in order if token not in (0, last, wrong))]


def hijack_by_runs(model, previous, late, last, wrong):
    free = [token for token in range(1, model.cfg.d_vocab) if token not in (last, wrong)]
    pairs = torch.tensor(list(itertools.product(free, free)))
    for texts, left in ((4, 30), (40, 1)):  # few texts for all pairs, then many for the best
        total = torch.zeros(len(pairs))
        for seed in range(texts):
            generator = torch.Generator().manual_seed(seed)
            text = torch.tensor(free)[torch.randint(len(free), (20,), generator=generator)]
            place = torch.randint(1, 20, (), generator=generator).item()
            rows = torch.cat([torch.tensor([0]), text, torch.tensor([last])]).repeat(len(pairs), 1)
            rows[:, place : place + 2] = pairs
            logits = model(rows)[:, -1]
            best_other = logits.masked_fill(torch.arange(logits.shape[1]) == wrong, -torch.inf).amax(1)
            total += (logits[:, wrong] - best_other).clamp(-2, 2)
        pairs = pairs[total.topk(left).indices]
    return tuple(pairs[0].tolist())


# Task 2, wrong


def free_best(scores, *but):
    scores = scores.clone()
    scores[[0, *but]] = -torch.inf
    return scores.argmax().item()


def match_of(model, previous, late):
    return (model.W_E @ model.W_Q[late]) @ (model.W_E @ model.OV[previous].AB @ model.W_K[late]).T


def hijack_plainly(model, previous, late, last, wrong):
    return last, wrong


def hijack_saying_wrong(model, previous, late, last, wrong):
    return free_best(match_of(model, previous, late)[last], last, wrong), wrong


def hijack_transposed(model, previous, late, last, wrong):
    second = hijack_by_circuits(model, previous, late, last, wrong)[1]
    return free_best(match_of(model, previous, late)[:, last], last, wrong), second


def hijack_without_composition(model, previous, late, last, wrong):
    second = hijack_by_circuits(model, previous, late, last, wrong)[1]
    return free_best(model.W_E @ model.QK[late].AB.T @ model.W_E[last], last, wrong), second


def hijack_by_likeness(model, previous, late, last, wrong):
    second = hijack_by_circuits(model, previous, late, last, wrong)[1]
    E = model.W_E / model.W_E.norm(dim=1, keepdim=True)
    return free_best(E @ E[last], last, wrong), second


def hijack_loudest(model, previous, late, last, wrong):
    first = hijack_by_circuits(model, previous, late, last, wrong)[0]
    return first, free_best((model.W_E @ model.OV[late].AB @ model.W_U)[:, wrong], last, wrong)


def hijack_direct(model, previous, late, last, wrong):
    first = hijack_by_circuits(model, previous, late, last, wrong)[0]
    return first, free_best((model.W_E @ model.W_U)[:, wrong], last, wrong)


def hijack_OV_transposed(model, previous, late, last, wrong):
    first = hijack_by_circuits(model, previous, late, last, wrong)[0]
    return first, free_best((model.W_E @ model.OV[late].AB @ model.W_U)[wrong], last, wrong)


def hijack_behind(model, previous, late, last, wrong):
    return hijack_by_circuits(model, previous, late, last, wrong)[::-1]


def none_of(model, last, wrong, taken):
    return next(token for token in range(1, model.cfg.d_vocab) if token not in (last, wrong, *map(int, taken)))


def hijack_any_second(*case):
    known = (hijack_by_circuits, hijack_loudest, hijack_direct, hijack_OV_transposed)
    return hijack_by_circuits(*case)[0], none_of(case[0], *case[3:], [answer(*case)[1] for answer in known])


def hijack_any_first(*case):
    known = (hijack_by_circuits, hijack_transposed, hijack_without_composition, hijack_by_likeness)
    return none_of(case[0], *case[3:], [answer(*case)[0] for answer in known]), hijack_by_circuits(*case)[1]


def hijack_at_random(model, previous, late, last, wrong):
    good = hijack_by_circuits(model, previous, late, last, wrong)
    free = [token for token in range(1, model.cfg.d_vocab) if token not in (last, wrong, *map(int, good))]
    return free[3], free[9]


def hijack_hard_coded(model, previous, late, last, wrong):
    return 1207, 3318


def hijack_prompt(model, previous, late, last, wrong):
    return [0, 5, *hijack_by_circuits(model, previous, late, last, wrong), 4, last]


# Task 3, right


def cut_by_results(model, layer, tokens, budget):
    cache = model.run_with_cache(tokens)[1]
    added = torch.einsum("bphd,hdm->hbpm", cache["z", layer], model.W_O[layer]).flatten(1, 2)  # [head row d_model]
    means = added.mean(1)
    S, Vh = torch.linalg.svd(added - means[:, None], full_matrices=False)[1:]
    ranks = torch.bincount(S.flatten().topk(budget).indices // S.shape[1], minlength=len(S))
    heads = []
    for head, rank in enumerate(ranks.tolist()):
        keep = Vh[head, :rank]
        whole = model.W_V[layer, head] @ model.W_O[layer, head]
        heads.append((whole @ keep.T, keep, means[head] - means[head] @ keep.T @ keep))
    return heads


def cut_by_moments(model, layer, tokens, budget):
    cache = model.run_with_cache(tokens)[1]
    resid, pattern = cache["resid_pre", layer].double(), cache["pattern", layer].double()
    parts = []
    for head in range(model.cfg.n_heads):
        mixed = (pattern[:, head] @ resid).flatten(0, 1)
        moment = torch.cov(mixed.T, correction=0) + 1e-12 * torch.eye(mixed.shape[1])
        V, O = model.W_V[layer, head].double(), model.W_O[layer, head].double()
        values = torch.linalg.eigvalsh(O.T @ V.T @ moment @ V @ O).flip(0)
        parts.append((mixed.mean(0), moment, V, O, values))
    line = torch.cat([part[4] for part in parts]).topk(budget).values[-1]
    heads = []
    for mean, moment, V, O, values in parts:
        rank = int((values >= line).sum())
        new_V, new_O = smaller.weighted_cut(V, O, rank, moment)
        heads.append([new_V, new_O, mean @ V @ O - mean @ new_V.double() @ new_O.double()])
    return heads


def cut_step_by_step(model, layer, tokens, budget):
    cache, tables = model.run_with_cache(tokens)[1], []
    for head in range(model.cfg.n_heads):
        rows = [A @ x @ model.W_V[layer, head] @ model.W_O[layer, head]
                for A, x in zip(cache["pattern", layer][:, head], cache["resid_pre", layer])]  # fmt: skip
        tables.append(torch.cat(rows).double())
    spectra = [torch.linalg.eigh(torch.cov(table.T, correction=0)) for table in tables]
    ranks = [0] * len(tables)
    for _ in range(budget):
        gains = [spectrum.eigenvalues[-1 - rank].item() for spectrum, rank in zip(spectra, ranks)]
        ranks[gains.index(max(gains))] += 1
    heads = []
    for head, (spectrum, rank, table) in enumerate(zip(spectra, ranks, tables)):
        keep = spectrum.eigenvectors[:, len(table.T) - rank :]
        new = (model.W_V[layer, head] @ model.W_O[layer, head]).double() @ keep
        heads.append((new, keep.T, table.mean(0) @ (torch.eye(len(keep)).double() - keep @ keep.T)))
    return heads


# Task 3, wrong


def cut_with(model, layer, tokens, budget, *, decompose=None, share=None, constant=None, spend=0):
    """Heads projected on directions of some tables, with ranks by some spectra, and some constants."""
    cache = model.run_with_cache(tokens)[1]
    resid, z = cache["resid_pre", layer], cache["z", layer]
    added = [(z[:, :, head] @ model.W_O[layer, head]).flatten(0, 1) for head in range(model.cfg.n_heads)]
    centred = [table - table.mean(0) for table in added]
    tables = decompose(added, resid) if decompose else centred
    spectra = share(centred) if share else [torch.linalg.svdvals(table) for table in centred]
    line = torch.cat(spectra).topk(budget + spend).values[-1]
    heads = []
    for head, (table, spectrum) in enumerate(zip(tables, spectra)):
        keep = torch.linalg.svd(table, full_matrices=False).Vh[: int((spectrum >= line).sum())]
        whole = model.W_V[layer, head] @ model.W_O[layer, head]
        mean = added[head].mean(0)
        rest = mean - mean @ keep.T @ keep
        heads.append((whole @ keep.T, keep, constant(rest, mean) if constant else rest))
    return heads


def cut_of_weights(model, layer, tokens, budget):
    weights = [V @ O for V, O in zip(model.W_V[layer], model.W_O[layer])]
    spectra = [torch.linalg.svdvals(W) for W in weights]
    return cut_with(model, layer, tokens, budget, decompose=lambda *_: weights, share=lambda _: spectra)


def cut_shared_by_weights(model, layer, tokens, budget):
    spectra = [torch.linalg.svdvals(V @ O) for V, O in zip(model.W_V[layer], model.W_O[layer])]
    return cut_with(model, layer, tokens, budget, share=lambda _: spectra)


def cut_alike(model, layer, tokens, budget):
    def places(centred):
        return [-torch.arange(len(table.T)).float() * 10 - head for head, table in enumerate(centred)]

    return cut_with(model, layer, tokens, budget, share=places)


def cut_by_own_shares(model, layer, tokens, budget):
    def shares(centred):
        squares = [torch.linalg.svdvals(table).square() for table in centred]
        return [square / square.sum() for square in squares]

    return cut_with(model, layer, tokens, budget, share=shares)


def cut_with_mean(model, layer, tokens, budget):
    return cut_with(model, layer, tokens, budget, decompose=lambda added, _: added)


def cut_ranks_with_mean(model, layer, tokens, budget):
    z = model.run_with_cache(tokens)[1]["z", layer]
    spectra = [torch.linalg.svdvals((z[:, :, h] @ model.W_O[layer, h]).flatten(0, 1)) for h in range(model.cfg.n_heads)]
    return cut_with(model, layer, tokens, budget, share=lambda _: spectra)


def cut_by_stream(model, layer, tokens, budget):
    def read(added, resid):
        tables = [(resid @ V @ O).flatten(0, 1) for V, O in zip(model.W_V[layer], model.W_O[layer])]
        return [table - table.mean(0) for table in tables]

    return cut_with(model, layer, tokens, budget, decompose=read)


def cut_by_sum(model, layer, tokens, budget):
    def total(added, _):
        return [sum(added) - sum(added).mean(0)] * len(added)

    return cut_with(model, layer, tokens, budget, decompose=total)


def cut_by_z(model, layer, tokens, budget):
    right = cut_by_results(model, layer, tokens, budget)
    z, heads = model.run_with_cache(tokens)[1]["z", layer], []
    for head, (_, old, _) in enumerate(right):
        own = z[:, :, head].flatten(0, 1)
        keep = torch.linalg.svd(own - own.mean(0), full_matrices=False).Vh[: len(old)]
        rest = own.mean(0) - own.mean(0) @ keep.T @ keep
        W_O = model.W_O[layer, head]
        heads.append((model.W_V[layer, head] @ keep.T, keep @ W_O, rest @ W_O))
    return heads


def cut_without_constant(model, layer, tokens, budget):
    return cut_with(model, layer, tokens, budget, constant=lambda rest, mean: torch.zeros_like(rest))


def cut_with_whole_mean(model, layer, tokens, budget):
    return cut_with(model, layer, tokens, budget, constant=lambda rest, mean: mean)


def cut_constant_wrong_sign(model, layer, tokens, budget):
    return cut_with(model, layer, tokens, budget, constant=lambda rest, mean: -rest)


def cut_overspent(model, layer, tokens, budget):
    return cut_with(model, layer, tokens, budget, spend=1)


def cut_thrifty(model, layer, tokens, budget):
    return cut_with(model, layer, tokens, budget, spend=-2)


def cut_per_head(model, layer, tokens, budget):
    return cut_with(model, layer, tokens, budget * model.cfg.n_heads)


def cut_badly_shared(model, layer, tokens, budget):
    return cut_with(model, layer, tokens, budget, share=lambda centred: [
        torch.linalg.svdvals(table) / (1 + 9 * (head % 2)) for head, table in enumerate(centred)])  # fmt: skip


def cut_last_directions(model, layer, tokens, budget):
    heads = []
    for _, O, constant in cut_by_results(model, layer, tokens, budget):
        keep = torch.linalg.qr(
            torch.randn(O.shape[1], max(1, len(O)), generator=torch.Generator().manual_seed(3)).to(O)
        ).Q
        keep = keep[:, : len(O)].T
        whole = model.W_V[layer, len(heads)] @ model.W_O[layer, len(heads)]
        heads.append((whole @ keep.T, keep, constant))
    return heads


def cut_matrix_by_matrix(model, layer, tokens, budget):
    heads = []
    for head, (old, _, constant) in enumerate(cut_by_results(model, layer, tokens, budget)):
        U, S, Vh = torch.linalg.svd(model.W_V[layer, head], full_matrices=False)
        k = old.shape[1]
        heads.append((U[:, :k] * S[:k], Vh[:k] @ model.W_O[layer, head], constant))
    return heads


def cut_padded(model, layer, tokens, budget):
    return [(V @ O, O, c) for V, O, c in cut_by_results(model, layer, tokens, budget)]


def cut_summed_constant(model, layer, tokens, budget):
    heads = cut_by_results(model, layer, tokens, budget)
    return [(V, O) for V, O, _ in heads], sum(c for _, _, c in heads)


def cut_input(model, layer, tokens, budget):
    return tokens


# Task 4, right


def trial_by_library(model, prompts, others, right, wrong, heads):
    every = [(layer, head) for layer in range(model.cfg.n_layers) for head in range(model.cfg.n_heads)]

    def said(swapped):
        logits = model.run_with_hooks(prompts, fwd_hooks=interventions.swap(model, swapped, others))[:, -1]
        return (logits.gather(1, right[:, None]) - logits.gather(1, wrong[:, None])).mean()

    full, floor = said([]), said(every)

    def enough(some):
        return (said([head for head in every if head not in some]) - floor) / (full - floor)

    mine = enough(heads)
    rivals = [enough(some) for some in itertools.combinations(every, len(heads)) if sorted(some) != sorted(heads)]
    better = torch.stack(rivals) >= mine
    return torch.stack([mine, (full - said(heads)) / (full - floor), better.float().mean()])


def trial_by_log_probs(model, prompts, others, right, wrong, heads):
    H, n = model.cfg.n_heads, model.cfg.n_layers * model.cfg.n_heads
    z = [model.run_with_cache(others)[1]["z", layer] for layer in range(model.cfg.n_layers)]
    own = {layer * H + head for layer, head in heads}

    def said(kept):
        def hook(x, hook):
            for head in range(H):
                if hook.layer() * H + head not in kept:
                    x[:, :, head] = z[hook.layer()][:, :, head]
            return x

        with model.hooks(fwd_hooks=[(f"blocks.{layer}.attn.hook_z", hook) for layer in range(len(z))]):
            log_probs = model(prompts)[:, -1].log_softmax(-1)  # the normaliser cancels
        rows = torch.arange(len(prompts))
        return (log_probs[rows, right] - log_probs[rows, wrong]).mean().item()

    everything = set(range(n))
    full, floor = said(everything), said(set())
    share = lambda kept: (said(kept) - floor) / (full - floor)
    mine = share(own)
    others_share = [share(set(some)) for some in itertools.combinations(range(n), len(own)) if set(some) != own]
    wins = sum(x >= mine for x in others_share)
    return [mine, 1 - share(everything - own), wins / len(others_share)]


def trial_in_one_batch(model, prompts, others, right, wrong, heads):
    L, H = model.cfg.n_layers, model.cfg.n_heads
    every = list(itertools.product(range(L), range(H)))
    sets = [set(heads), set(every) - set(heads), set(every), set()]
    sets += [set(some) for some in itertools.combinations(every, len(heads)) if set(some) != set(heads)]
    keep = torch.tensor([[head in some for head in every] for some in sets]).view(-1, L, H)
    keep = keep.repeat_interleave(len(prompts), 0)  # [set × prompt, layer, head]
    cache = model.run_with_cache(others)[1]
    hooks = [(f"blocks.{i}.attn.hook_z", lambda z, hook, i=i: torch.where(
        keep[:, i, None, :, None], z, cache["z", i].repeat(len(sets), 1, 1, 1))) for i in range(L)]  # fmt: skip
    logits = model.run_with_hooks(prompts.repeat(len(sets), 1), fwd_hooks=hooks)[:, -1]
    gap = logits.gather(1, right.repeat(len(sets))[:, None]) - logits.gather(1, wrong.repeat(len(sets))[:, None])
    gap = gap.view(len(sets), -1).mean(1)
    share = (gap - gap[3]) / (gap[2] - gap[3])
    return torch.stack([share[0], 1 - share[1], (share[4:] >= share[0]).to(share).mean()])


# Task 4, wrong


def trial_changed(
    model, prompts, others, right, wrong, heads, *, hooks=interventions.swap, read=None, floor=None, average=torch.mean,
    more=None, rival=None, n_rivals=None, own_too=False, count=None,
):  # fmt: skip
    every = [(layer, head) for layer in range(model.cfg.n_layers) for head in range(model.cfg.n_heads)]
    rows = range(len(prompts))
    read = read or (lambda logits: logits[rows, -1, right] - logits[rows, -1, wrong])

    def said(swapped):
        kept = [head for head in every if head not in swapped]
        extra = more(model, prompts, kept) if more else []
        return average(read(model.run_with_hooks(prompts, fwd_hooks=[*extra, *hooks(model, swapped, others)])))

    full, low = said([]), said(every) if floor is None else floor(average, read)
    enough = lambda some: (said([head for head in every if head not in some]) - low) / (full - low)
    needed = lambda some: (full - said(list(some))) / (full - low)
    rival = needed if rival == "needed" else enough
    sets = [some for n in n_rivals or [len(heads)] for some in itertools.combinations(every, n)]
    scores = torch.stack([rival(some).mean() for some in sets if own_too or set(some) != set(heads)])
    count = count or (lambda scores, mine: (scores >= mine).float().mean())
    return torch.stack([enough(heads).mean(), needed(heads).mean(), count(scores, rival(heads).mean())])


def trial_exchanged(*case):
    return trial_changed(*case)[[1, 0, 2]]


def trial_of_complement(*case):
    first, second, third = trial_changed(*case)
    return torch.stack([1 - second, 1 - first, third])


def trial_without_floor(*case):
    return trial_changed(*case, floor=lambda average, read: torch.tensor(0.0))


def trial_floor_of_others(*case):
    return trial_changed(*case, floor=lambda average, read: average(read(case[0](case[2]))))


def trial_by_deletion(*case):
    return trial_changed(*case, hooks=lambda model, heads, others: interventions.ablate(model, heads))


def trial_by_mean(*case):
    def hooks(model, heads, others):
        cache = model.run_with_cache(others)[1]
        return [interventions.on_head(model, (layer, head), "z", lambda z, h=head, i=layer: cache["z", i][:, :, h].mean(0).expand_as(z))
                for layer, head in heads]  # fmt: skip

    return trial_changed(*case, hooks=hooks)


def trial_at_the_end(*case):
    def hooks(model, heads, others):
        cache = model.run_with_cache(others)[1]
        return [interventions.on_head(model, (layer, head), "z", lambda z, h=head, i=layer: torch.cat([z[:, :-1], cache["z", i][:, -1:, h]], 1))
                for layer, head in heads]  # fmt: skip

    return trial_changed(*case, hooks=hooks)


def trial_held(*case):
    return trial_changed(*case, more=lambda model, prompts, kept: interventions.swap(model, kept, prompts))


def trial_frozen(*case):
    def more(model, prompts, kept):
        cache = model.run_with_cache(prompts)[1]
        return paths.freeze([cache["pattern", layer] for layer in range(model.cfg.n_layers)])

    return trial_changed(*case, more=more)


def trial_one_logit(*case):
    return trial_changed(*case, read=lambda logits: logits[range(len(case[1])), -1, case[3]])


def trial_one_log_prob(*case):
    return trial_changed(
        *case, read=lambda logits: logits[range(len(case[1])), -1].log_softmax(-1)[range(len(case[1])), case[3]]
    )


def trial_probabilities(*case):
    rows = range(len(case[1]))
    return trial_changed(*case, read=lambda x: x.softmax(-1)[rows, -1, case[3]] - x.softmax(-1)[rows, -1, case[4]])


def trial_all_places(*case):
    rows = range(len(case[1]))
    return trial_changed(*case, read=lambda x: (x[rows, :, case[3]] - x[rows, :, case[4]]).mean(-1))


def trial_prompt_by_prompt(*case):
    return trial_changed(*case, average=lambda x: x)


def trial_with_itself(*case):
    return trial_changed(*case, own_too=True)


def trial_worse(*case):
    return trial_changed(*case, count=lambda scores, mine: (scores < mine).float().mean())


def trial_counted(*case):
    return trial_changed(*case, count=lambda scores, mine: (scores >= mine).float().sum())


def trial_any_size(*case):
    return trial_changed(*case, n_rivals=range(1, 6))


def trial_rivals_by_need(*case):
    return trial_changed(*case, rival="needed")


def trial_two_numbers(*case):
    return trial_changed(*case)[:2]


def trial_hard_coded(*case):
    return torch.tensor([0.9, 0.8, 0.05])


def trial_input(*case):
    return case[1]


RIGHT = {
    "hw6-1": [edit_by_projection, edit_by_equations, edit_by_library],
    "hw6-2": [hijack_by_circuits, hijack_by_log_odds, hijack_by_runs],
    "hw6-3": [cut_by_results, cut_by_moments, cut_step_by_step],
    "hw6-4": [trial_by_library, trial_by_log_probs, trial_in_one_batch],
}

WRONG = {
    "hw6-1": [
        (edit_nothing, "your function returned what it was given"),
        (edit_adding_wanted, "the wanted effect was added to the old one"),
        (edit_wrong_sign, "the change has the wrong sign"),
        (edit_to_nothing, "the effect is gone"),
        (edit_to_the_side, "the effect is what it was"),
        (edit_truncated, "both matrices have changed: one of them"),
        (edit_half_and_half, "both matrices have changed"),
        (edit_without_rank, "your head has more than d_head dimensions"),
        (edit_keeping_nothing, "what the head writes from the kept streams has changed"),
        (edit_one_after_the_other, "the last of the kept streams is kept"),
        (edit_keeping_one_logit, "the kept streams keep this one logit only"),
        (
            edit_only_V,
            "all is as asked, and no change of the matrix that you chose is smaller; but here a change of W_O",
        ),
        (
            edit_only_O,
            "all is as asked, and no change of the matrix that you chose is smaller; but here a change of W_V",
        ),
        (edit_of_W_V_itself, "all is as asked, with the least change of W_V itself"),
        (edit_of_W_O_itself, "all is as asked, with the least change of W_O itself"),
        (edit_wasteful, "all is as asked, but a smaller change"),
        (edit_exchanged, "the two matrices come in the wrong order"),
        (edit_hard_coded, "your shapes are"),
        (edit_one_matrix, "return two tensors"),
    ],
    "hw6-2": [
        (hijack_plainly, "the filter refuses this: the last token"),
        (hijack_saying_wrong, "the filter refuses this: the token that the model should say"),
        (hijack_transposed, "the second token would do, but the head is not led there: the table is read"),
        (
            hijack_without_composition,
            "the second token would do, but the head is not led there: your first token is what",
        ),
        (hijack_by_likeness, "the second token would do, but the head is not led there: like embeddings"),
        (hijack_any_first, "the second token would do, but the head is not led there: which token"),
        (
            hijack_loudest,
            "the head is led to your pair, but does not say the wrong token there: your second token raises",
        ),
        (
            hijack_direct,
            "the head is led to your pair, but does not say the wrong token there: your second token is the best",
        ),
        (hijack_OV_transposed, "the head is led to your pair, but does not say the wrong token there: the OV table"),
        (hijack_any_second, "the head is led to your pair, but does not say the wrong token there: which token"),
        (hijack_behind, "the two tokens in the other order"),
        (hijack_at_random, "neither token does its part"),
        (hijack_hard_coded, "there is no such token"),
        (hijack_prompt, "return two tokens, as numbers"),
    ],
    "hw6-3": [
        (cut_of_weights, "that is the SVD of the weights"),
        (cut_with_mean, "the mean was left in before the cut"),
        (cut_by_stream, "the stream at each position was weighed"),
        (cut_by_sum, "all heads were cut to the directions of the layer's sum"),
        (cut_by_z, "z was decomposed"),
        (cut_last_directions, "a head of yours is not the best of its rank"),
        (cut_matrix_by_matrix, "a head of yours is not the best of its rank: in"),
        (cut_without_constant, "the directions are right, but the constants are zero"),
        (cut_with_whole_mean, "the directions are right, but the constants are not"),
        (cut_constant_wrong_sign, "the directions are right, but the constants have the wrong sign"),
        (cut_alike, "each head is the best of its rank, but the ranks are shared out badly: alike"),
        (
            cut_shared_by_weights,
            "each head is the best of its rank, but the ranks are shared out badly: by what stands",
        ),
        (cut_ranks_with_mean, "each head is the best of its rank, but the ranks are shared out badly: the mean"),
        (cut_by_own_shares, "each head is the best of its rank, but the ranks are shared out badly: by shares"),
        (cut_badly_shared, "each head is the best of its rank, but the ranks are shared out badly: one more"),
        (cut_thrifty, "each head is the best of its rank, but you spent"),
        (cut_overspent, "you spent"),
        (cut_per_head, "you spent "),
        (cut_padded, "head 0: W_V is"),
        (cut_summed_constant, "return a list with (W_V, W_O, constant)"),
        (cut_input, "a list of"),
    ],
    "hw6-4": [
        (trial_exchanged, "the first two are exchanged"),
        (trial_of_complement, "the explanation and all other heads are exchanged"),
        (trial_without_floor, "nothing was taken off"),
        (trial_floor_of_others, "the floor is the run on the other prompts"),
        (trial_by_deletion, "the heads were deleted, not swapped"),
        (trial_by_mean, "the mean over the other prompts was put in"),
        (trial_at_the_end, "swapped at the last position only"),
        (trial_held, "the heads that stay were held"),
        (trial_frozen, "patterns were frozen"),
        (trial_one_logit, "only the right token was read"),
        (trial_one_log_prob, "the log-probability of the right token was read"),
        (trial_probabilities, "probabilities were subtracted"),
        (trial_all_places, "all positions were averaged"),
        (trial_prompt_by_prompt, "a mean of ratios"),
        (trial_with_itself, "your own set is among the rivals"),
        (trial_worse, "the third is the share of sets that do worse"),
        (trial_counted, "the third is a number of sets"),
        (trial_any_size, "sets of every size were the rivals"),
        (trial_rivals_by_need, "the rivals were compared by what is lost"),
        (trial_two_numbers, "wrong shape"),
        (trial_hard_coded, "the same answer for different inputs"),
        (trial_input, "your function returned one of its inputs"),
    ],
}
