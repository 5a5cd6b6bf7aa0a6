"""Right and wrong answers to homework 3, as students might write them."""

import matplotlib.pyplot as plt  # noqa: F401  # the imports are those of the notebook's set-up cell
import torch
from einops import einsum
from jaxtyping import Bool, Float, Int  # noqa: F401
from torch import Tensor  # noqa: F401

from walkthrough import circuits, models
from walkthrough.one_layer import skip_trigrams  # noqa: F401

# 1 votes


def votes_by_silencing(model, tokens, position, answer, rival):
    """The model itself, with all attention but one entry taken away."""
    pattern = model.run_with_cache(tokens[None])[1]["pattern", 0]

    def lead(keep):
        force = ("blocks.0.attn.hook_pattern", lambda _, hook: pattern * keep)
        logits = model.run_with_hooks(tokens[None], fwd_hooks=[force])[0, position]
        return logits[answer] - logits[rival]

    nothing = torch.zeros_like(pattern)
    table = torch.zeros(1 + model.cfg.n_heads, len(tokens)).to(pattern)
    table[0, position] = lead(nothing)
    for head in range(model.cfg.n_heads):
        for source in range(position + 1):
            keep = nothing.clone()
            keep[0, head, position, source] = 1
            table[1 + head, source] = lead(keep) - table[0, position]
    return table


def votes_in_loops(model, tokens, position, answer, rival):
    """Patterns recomputed, one number at a time, in double precision."""
    W_E, W_pos, W_U = model.W_E.double(), model.W_pos.double(), model.W_U.double()
    votes = [[0.0] * len(tokens) for _ in range(model.cfg.n_heads + 1)]
    here = W_E[tokens[position]]
    votes[0][position] = (here @ W_U[:, answer] - here @ W_U[:, rival]).item()
    for head in range(model.cfg.n_heads):
        q = (here + W_pos[position]) @ model.W_Q[0, head].double()
        keys = [(W_E[tokens[s]] + W_pos[s]) @ model.W_K[0, head].double() for s in range(position + 1)]
        weights = torch.tensor([(q @ key).item() / model.cfg.d_head**0.5 for key in keys]).exp()
        for source in range(position + 1):
            moved = W_E[tokens[source]] @ model.W_V[0, head].double() @ model.W_O[0, head].double()
            said = (moved @ W_U[:, answer] - moved @ W_U[:, rival]).item()
            votes[head + 1][source] = said * (weights[source] / weights.sum()).item()
    return votes


def votes_from_values(model, tokens, position, answer, rival):
    """From the cached values and patterns, through W_O and then the unembedding as it is."""
    cache = model.run_with_cache(tokens[None])[1]
    v = cache["blocks.0.attn.hook_v"][0].reshape(len(tokens), model.cfg.n_heads, model.cfg.d_head)
    logits = einsum(v, model.W_O[0], model.W_U, "key head d_head, head d_head d, d d_vocab -> head key d_vocab")
    heads = (logits[..., answer] - logits[..., rival]) * cache["pattern", 0][0, :, position, :]
    lead = cache["hook_embed"][0, position] @ model.W_U
    direct = (lead[answer] - lead[rival]) * (torch.arange(len(tokens)) == position)
    return torch.cat((direct[None], heads), dim=0)


def votes_by_ov_circuit(model, tokens, position, answer, rival):
    """From the tables of notebook 04."""
    pattern, rows = model.run_with_cache(tokens[None])[1]["pattern", 0][0], []
    bigrams = model.W_E[tokens] @ model.W_U
    rows.append(torch.eye(len(tokens))[position] * (bigrams[position, answer] - bigrams[position, rival]))
    for head in range(model.cfg.n_heads):
        ov = circuits.ov_circuit(model, 0, head).AB[tokens]
        rows.append(pattern[head, position] * (ov[:, answer] - ov[:, rival]))
    return torch.stack([row.to(rows[-1]) for row in rows])


def votes_without_direct(model, tokens, position, answer, rival):
    pattern = model.run_with_cache(tokens[None])[1]["pattern", 0][0]
    says = model.W_E[tokens] @ model.W_V[0] @ model.W_O[0] @ (model.W_U[:, answer] - model.W_U[:, rival])
    return torch.cat([torch.zeros(1, len(tokens)), pattern[:, position] * says])


def votes_direct_everywhere(model, tokens, position, answer, rival):
    towards = model.W_U[:, answer] - model.W_U[:, rival]
    pattern = model.run_with_cache(tokens[None])[1]["pattern", 0][0]
    table = torch.zeros(1 + model.cfg.n_heads, len(tokens))
    table[0] = model.W_E[tokens[position]] @ towards
    table[1:] = pattern[:, position] * (model.W_E[tokens] @ model.W_V[0] @ model.W_O[0] @ towards)
    return table


def votes_unweighted(model, tokens, position, answer, rival):
    towards = model.W_U[:, answer] - model.W_U[:, rival]
    table = torch.zeros(1 + model.cfg.n_heads, len(tokens))
    table[0, position] = model.W_E[tokens[position]] @ towards
    for source in range(position + 1):
        table[1:, source] = (model.W_E[tokens[source]] @ (model.W_V[0] @ model.W_O[0])) @ towards
    return table


def votes_transposed_pattern(model, tokens, position, answer, rival):
    towards = model.W_U[:, answer] - model.W_U[:, rival]
    pattern = model.run_with_cache(tokens[None])[1]["pattern", 0][0]
    table = torch.zeros(1 + model.cfg.n_heads, len(tokens))
    table[0, position] = model.W_E[tokens[position]] @ towards
    table[1:] = pattern[:, :, position] * (model.W_E[tokens] @ model.W_V[0] @ model.W_O[0] @ towards)
    return table


def votes_at_the_end(model, tokens, position, answer, rival):
    towards = model.W_U[:, answer] - model.W_U[:, rival]
    pattern = model.run_with_cache(tokens[None])[1]["pattern", 0][0]
    table = torch.zeros(1 + model.cfg.n_heads, len(tokens))
    table[0, position] = model.W_E[tokens[position]] @ towards
    table[1:] = pattern[:, -1] * (model.W_E[tokens] @ model.W_V[0] @ model.W_O[0] @ towards)
    return table


def votes_swapped_ov(model, tokens, position, answer, rival):
    towards = model.W_U[:, answer] - model.W_U[:, rival]
    pattern = model.run_with_cache(tokens[None])[1]["pattern", 0][0]
    table = torch.zeros(1 + model.cfg.n_heads, len(tokens))
    table[0, position] = model.W_E[tokens[position]] @ towards
    for head in range(model.cfg.n_heads):
        W_OV = (model.W_V[0, head] @ model.W_O[0, head]).T
        table[1 + head] = pattern[head, position] * (model.W_E[tokens] @ W_OV @ towards)
    return table


def votes_with_positions(model, tokens, position, answer, rival):
    towards = model.W_U[:, answer] - model.W_U[:, rival]
    pattern = model.run_with_cache(tokens[None])[1]["pattern", 0][0]
    resid = model.W_E[tokens] + model.W_pos[: len(tokens)]
    direct = torch.zeros(1, len(tokens))
    direct[0, position] = model.W_E[tokens[position]] @ towards
    return torch.cat([direct, pattern[:, position] * (resid @ model.W_V[0] @ model.W_O[0] @ towards)])


def votes_for_answer_alone(model, tokens, position, answer, rival):
    pattern = model.run_with_cache(tokens[None])[1]["pattern", 0][0]
    direct = torch.zeros(1, len(tokens))
    direct[0, position] = (model.W_E[tokens[position]] @ model.W_U)[answer]
    heads = (model.W_E[tokens] @ model.W_V[0] @ model.W_O[0] @ model.W_U)[..., answer]
    return torch.cat([direct, pattern[:, position] * heads])


def votes_of_the_destination(model, tokens, position, answer, rival):
    towards = model.W_U[:, answer] - model.W_U[:, rival]
    pattern = model.run_with_cache(tokens[None])[1]["pattern", 0][0]
    here = model.W_E[tokens[position]]
    direct = torch.zeros(1, len(tokens))
    direct[0, position] = here @ towards
    return torch.cat([direct, pattern[:, position] * (here @ (model.W_V[0] @ model.W_O[0]) @ towards)[:, None]])


def votes_relative_to_bos(model, tokens, position, answer, rival):
    towards = model.W_U[:, answer] - model.W_U[:, rival]
    pattern = model.run_with_cache(tokens[None])[1]["pattern", 0][0, :, position]
    says = model.W_E[tokens] @ model.W_V[0] @ model.W_O[0] @ towards
    table = torch.zeros(1 + model.cfg.n_heads, len(tokens))
    table[0, position] = model.W_E[tokens[position]] @ towards
    table[1:] = pattern * (says - says[:, :1])  # attention is taken from `<BOS>`, which says the rest
    table[1:, 0] = says[:, 0]
    return table


def votes_direct_first(model, tokens, position, answer, rival):
    towards = model.W_U[:, answer] - model.W_U[:, rival]
    pattern = model.run_with_cache(tokens[None])[1]["pattern", 0][0]
    table = torch.zeros(1 + model.cfg.n_heads, len(tokens))
    table[0, 0] = model.W_E[tokens[position]] @ towards
    table[1:] = pattern[:, position] * (model.W_E[tokens] @ model.W_V[0] @ model.W_O[0] @ towards)
    return table


def votes_direct_of_each(model, tokens, position, answer, rival):
    towards = model.W_U[:, answer] - model.W_U[:, rival]
    pattern = model.run_with_cache(tokens[None])[1]["pattern", 0][0]
    heads = pattern[:, position] * (model.W_E[tokens] @ model.W_V[0] @ model.W_O[0] @ towards)
    return torch.cat([(model.W_E[tokens] @ towards)[None], heads])


def votes_all_at_the_end(model, tokens, position, answer, rival):
    towards = model.W_U[:, answer] - model.W_U[:, rival]
    pattern = model.run_with_cache(tokens[None])[1]["pattern", 0][0]
    table = torch.zeros(1 + model.cfg.n_heads, len(tokens))
    table[0, -1] = model.W_E[tokens[-1]] @ towards
    table[1:] = pattern[:, -1] * (model.W_E[tokens] @ model.W_V[0] @ model.W_O[0] @ towards)
    return table


def votes_against_the_mean(model, tokens, position, answer, rival):
    towards = model.W_U[:, answer] - model.W_U.mean(1)
    pattern = model.run_with_cache(tokens[None])[1]["pattern", 0][0]
    table = torch.zeros(1 + model.cfg.n_heads, len(tokens))
    table[0, position] = model.W_E[tokens[position]] @ towards
    table[1:] = pattern[:, position] * (model.W_E[tokens] @ model.W_V[0] @ model.W_O[0] @ towards)
    return table


def votes_unmasked(model, tokens, position, answer, rival):
    placed = model.W_E[tokens] + model.W_pos[: len(tokens)]
    scores = (placed @ model.W_Q[0]) @ (placed @ model.W_K[0]).mT / model.cfg.d_head**0.5
    towards = model.W_U[:, answer] - model.W_U[:, rival]
    direct = torch.zeros(1, len(tokens))
    direct[0, position] = model.W_E[tokens[position]] @ towards
    says = model.W_E[tokens] @ model.W_V[0] @ model.W_O[0] @ towards
    return torch.cat([direct, scores.softmax(-1)[:, position] * says])


def votes_masked_with_zeros(model, tokens, position, answer, rival):
    placed = model.W_E[tokens] + model.W_pos[: len(tokens)]
    scores = (placed @ model.W_Q[0]) @ (placed @ model.W_K[0]).mT / model.cfg.d_head**0.5
    towards = model.W_U[:, answer] - model.W_U[:, rival]
    direct = torch.zeros(1, len(tokens))
    direct[0, position] = model.W_E[tokens[position]] @ towards
    says = model.W_E[tokens] @ model.W_V[0] @ model.W_O[0] @ towards
    return torch.cat([direct, scores.tril().softmax(-1)[:, position] * says])


def votes_masked_late(model, tokens, position, answer, rival):
    placed = model.W_E[tokens] + model.W_pos[: len(tokens)]
    scores = (placed @ model.W_Q[0]) @ (placed @ model.W_K[0]).mT / model.cfg.d_head**0.5
    towards = model.W_U[:, answer] - model.W_U[:, rival]
    direct = torch.zeros(1, len(tokens))
    direct[0, position] = model.W_E[tokens[position]] @ towards
    says = model.W_E[tokens] @ model.W_V[0] @ model.W_O[0] @ towards
    return torch.cat([direct, scores.softmax(-1).tril()[:, position] * says])


def votes_over_root_d_model(model, tokens, position, answer, rival):
    placed = model.W_E[tokens] + model.W_pos[: len(tokens)]
    scores = (placed @ model.W_Q[0]) @ (placed @ model.W_K[0]).mT / model.cfg.d_model**0.5
    towards = model.W_U[:, answer] - model.W_U[:, rival]
    direct = torch.zeros(1, len(tokens))
    direct[0, position] = model.W_E[tokens[position]] @ towards
    says = model.W_E[tokens] @ model.W_V[0] @ model.W_O[0] @ towards
    return torch.cat(
        [direct, scores.masked_fill(torch.ones_like(scores).triu(1) > 0, -torch.inf).softmax(-1)[:, position] * says]
    )


def votes_in_probabilities(model, tokens, position, answer, rival):
    pattern = model.run_with_cache(tokens[None])[1]["pattern", 0][0, :, position]
    logits = torch.zeros(1 + model.cfg.n_heads, len(tokens), model.cfg.d_vocab)
    logits[0, position] = model.W_E[tokens[position]] @ model.W_U
    for head in range(model.cfg.n_heads):
        logits[1 + head] = pattern[head][:, None] * (model.W_E[tokens] @ model.OV[0, head].AB @ model.W_U)
    probs = logits.softmax(-1)
    return probs[..., answer] - probs[..., rival]


def votes_tied(model, tokens, position, answer, rival):
    towards = model.W_E[answer] - model.W_E[rival]
    pattern = model.run_with_cache(tokens[None])[1]["pattern", 0][0]
    direct = torch.zeros(1, len(tokens))
    direct[0, position] = model.W_E[tokens[position]] @ towards
    return torch.cat([direct, pattern[:, position] * (model.W_E[tokens] @ model.W_V[0] @ model.W_O[0] @ towards)])


def votes_of_tokens(model, tokens, position, answer, rival):
    towards = model.W_U[:, answer] - model.W_U[:, rival]
    pattern = model.run_with_cache(tokens[None])[1]["pattern", 0][0, :, position]
    table = torch.zeros(1 + model.cfg.n_heads, len(tokens))
    for head in range(model.cfg.n_heads):
        said = {}
        for source, token in enumerate(tokens[: position + 1].tolist()):
            said[token] = pattern[head, source] * (model.W_E[token] @ model.W_V[0, head] @ model.W_O[0, head] @ towards)
        for source, token in enumerate(tokens[: position + 1].tolist()):
            table[1 + head, source] = said[token]
    table[0, position] = model.W_E[tokens[position]] @ towards
    return table


def votes_found_by_token(model, tokens, position, answer, rival):
    towards = model.W_U[:, answer] - model.W_U[:, rival]
    pattern = model.run_with_cache(tokens[None])[1]["pattern", 0][0, :, position]
    table, ids = torch.zeros(1 + model.cfg.n_heads, len(tokens)), tokens.tolist()
    for token in ids[: position + 1]:
        source = ids.index(token)
        table[1:, source] = pattern[:, source] * (model.W_E[token] @ (model.W_V[0] @ model.W_O[0]) @ towards)
    table[0, position] = model.W_E[tokens[position]] @ towards
    return table


def votes_without_the_answer(model, tokens, position, answer, rival):
    towards = model.W_U[:, answer] - model.W_U[:, rival]
    pattern = model.run_with_cache(tokens[None])[1]["pattern", 0][0, :, position]
    heads = pattern * (model.W_E[tokens] @ model.W_V[0] @ model.W_O[0] @ towards)
    direct = torch.zeros(1, len(tokens))
    direct[0, position] = model.W_E[tokens[position]] @ towards
    return torch.cat([direct, heads * (tokens != answer)])


def votes_hard_coded(model, tokens, position, answer, rival):
    table = torch.zeros(9, 8)
    table[0, 5], table[6, 3], table[5, 5] = 0.6, 4.7, -1.1
    return table


def votes_are_tokens(model, tokens, position, answer, rival):
    return tokens


# 2 best skip-trigrams


def best_by_writing_out(model, head, tokens, k):
    """Both tables, and then all triples, written out."""
    qk, ov = circuits.qk_circuit(model, 0, head).AB, circuits.ov_circuit(model, 0, head).AB
    looks = torch.stack([qk[:, :1].expand_as(qk), qk]).softmax(0)[1]
    moved = ov - ov[:1]
    moved = moved - moved.mean(-1, keepdim=True)
    raises = einsum(looks[tokens][:, tokens], moved[tokens][:, tokens], "d source, source out -> source d out")
    values, at = raises.reshape(len(tokens), -1).max(-1)
    triples = [(s, at[s] // len(tokens), at[s] % len(tokens)) for s in values.argsort(descending=True)[:k].tolist()]
    return [[tokens[i].item() for i in triple] for triple in triples]


def best_in_loops(model, head, tokens, k):
    """The definition, token by token, in double precision, on bare weights."""
    W_E, W_U = model.W_E.double(), model.W_U.double()
    Q, K, V, O = (W[0, head].double() for W in (model.W_Q, model.W_K, model.W_V, model.W_O))
    said = W_E @ V @ O @ W_U
    found = []
    for s in tokens.tolist():
        change = said[s] - said[0]
        change = change - change.mean()
        options = []
        for d in tokens.tolist():
            two = torch.stack([W_E[d] @ Q @ (W_E[key] @ K) for key in (0, s)]) / Q.shape[1] ** 0.5
            share = two.softmax(0)[1].item()
            options += [(share * change[o].item(), s, d, o) for o in tokens.tolist()]
        found.append(max(options))
    return torch.tensor([triple[1:] for triple in sorted(found, reverse=True)[:k]])


def best_with_searches(model, head, tokens, k):
    """With the searches of notebook 04, which go through the whole vocabulary."""
    from walkthrough import searches

    qk = searches.relative_to(circuits.qk_circuit(model, 0, head))
    ov = circuits.ov_circuit(model, 0, head)
    above = circuits.centred(type(ov)(ov.A - ov.A[0], ov.B))
    allowed, rows = set(tokens.tolist()), []
    for s in tokens.tolist():
        odds, destinations = searches.column_entries(qk, s, len(model.W_E))
        moved, outs = searches.row_entries(above, s, len(model.W_E))
        j = next(j for j, o in enumerate(outs.tolist()) if o in allowed)
        fit = [i for i, d in enumerate(destinations.tolist()) if d in allowed]
        i = fit[0] if moved[j] > 0 else fit[-1]
        rows.append((-(odds[i].sigmoid() * moved[j]).item(), s, destinations[i].item(), outs[j].item()))
    return torch.tensor(sorted(rows))[:k, 1:].round().long()


def best_swapped(model, head, tokens, k):
    ov = circuits.centred(circuits.ov_circuit(model, 0, head)).AB
    qk = model.W_E @ model.W_K[0, head] @ model.W_Q[0, head].T @ model.W_E.T / model.cfg.d_head**0.5
    looks, d = (qk - qk[:, :1]).sigmoid()[tokens][:, tokens].max(0)
    moved, o = (ov - ov[0])[tokens][:, tokens].max(1)
    top = (looks * moved).topk(k).indices
    return torch.stack([tokens[top], tokens[d[top]], tokens[o[top]]], 1)


def best_unscaled(model, head, tokens, k):
    ov = circuits.centred(circuits.ov_circuit(model, 0, head)).AB
    qk = model.W_E @ model.W_Q[0, head] @ model.W_K[0, head].T @ model.W_E.T
    looks, d = (qk - qk[:, :1]).sigmoid()[tokens][:, tokens].max(0)
    moved, o = (ov - ov[0])[tokens][:, tokens].max(1)
    top = (looks * moved).topk(k).indices
    return torch.stack([tokens[top], tokens[d[top]], tokens[o[top]]], 1)


def best_without_bos(model, head, tokens, k):
    qk, ov = circuits.qk_circuit(model, 0, head).AB, circuits.centred(circuits.ov_circuit(model, 0, head)).AB
    looks, d = qk.sigmoid()[tokens][:, tokens].max(0)
    moved, o = (ov - ov[0])[tokens][:, tokens].max(1)
    top = (looks * moved).topk(k).indices
    return torch.stack([tokens[top], tokens[d[top]], tokens[o[top]]], 1)


def best_by_log_odds(model, head, tokens, k):
    qk, ov = circuits.qk_circuit(model, 0, head).AB, circuits.centred(circuits.ov_circuit(model, 0, head)).AB
    raises = einsum(qk - qk[:, :1], ov - ov[0], "d s, s o -> s d o")[tokens][:, tokens][:, :, tokens]
    value, at = raises.flatten(1).max(1)
    top = value.topk(k).indices
    return torch.stack([tokens[top], tokens[at[top] // len(tokens)], tokens[at[top] % len(tokens)]], 1)


def best_without_loss(model, head, tokens, k):
    qk, ov = circuits.qk_circuit(model, 0, head).AB, circuits.centred(circuits.ov_circuit(model, 0, head)).AB
    cube = einsum((qk - qk[:, :1]).sigmoid()[tokens][:, tokens], ov[tokens][:, tokens], "d s, s o -> s d o")
    value, at = cube.flatten(1).max(1)
    top, n = value.topk(k).indices, len(tokens)
    return torch.stack([tokens[top], tokens[at[top] // n], tokens[at[top] % n]], 1)


def best_uncentred(model, head, tokens, k):
    qk, ov = circuits.qk_circuit(model, 0, head).AB, circuits.ov_circuit(model, 0, head).AB
    looks = (qk - qk[:, :1]).sigmoid()
    raises = einsum(looks, ov - ov[0], "d s, s o -> s d o")[tokens][:, tokens][:, :, tokens]
    value, at = raises.flatten(1).max(1)
    top = value.topk(k).indices
    return torch.stack([tokens[top], tokens[at[top] // len(tokens)], tokens[at[top] % len(tokens)]], 1)


def best_tied(model, head, tokens, k):
    qk = circuits.qk_circuit(model, 0, head).AB
    ov = model.W_E @ model.W_V[0, head] @ model.W_O[0, head] @ model.W_E.T
    ov = ov - ov.mean(1, keepdim=True)
    cube = einsum((qk - qk[:, :1]).sigmoid()[tokens][:, tokens], (ov - ov[0])[tokens][:, tokens], "d s, s o -> s d o")
    value, at = cube.flatten(1).max(1)
    top, n = value.topk(k).indices, len(tokens)
    return torch.stack([tokens[top], tokens[at[top] // n], tokens[at[top] % n]], 1)


def best_without_itself(model, head, tokens, k):
    qk, ov = circuits.qk_circuit(model, 0, head).AB, circuits.centred(circuits.ov_circuit(model, 0, head)).AB
    cube = einsum((qk - qk[:, :1]).sigmoid(), ov - ov[0], "d s, s o -> s d o")[tokens][:, tokens][:, :, tokens]
    for i in range(len(tokens)):
        cube[i, :, i] = -1e9  # a skip-trigram's out is another token than its source
    value, at = cube.flatten(1).max(1)
    top = value.topk(k).indices
    return torch.stack([tokens[top], tokens[at[top] // len(tokens)], tokens[at[top] % len(tokens)]], 1)


def best_of_two_tokens(model, head, tokens, k):
    qk, ov = circuits.qk_circuit(model, 0, head).AB, circuits.centred(circuits.ov_circuit(model, 0, head)).AB
    cube = einsum((qk - qk[:, :1]).sigmoid(), ov - ov[0], "d s, s o -> s d o")[tokens][:, tokens][:, :, tokens]
    cube[range(len(tokens)), range(len(tokens))] = -1e9
    value, at = cube.flatten(1).max(1)
    top = value.topk(k).indices
    return torch.stack([tokens[top], tokens[at[top] // len(tokens)], tokens[at[top] % len(tokens)]], 1)


def best_keenest(model, head, tokens, k):
    qk, ov = circuits.qk_circuit(model, 0, head), circuits.centred(circuits.ov_circuit(model, 0, head))
    looks, d = (qk.AB - qk.AB[:, :1]).sigmoid()[tokens][:, tokens].max(0)
    moved, o = (ov.AB - ov.AB[0])[tokens][:, tokens].max(1)
    top = (looks * moved).topk(k).indices
    return torch.stack([tokens[top], tokens[d[top]], tokens[o[top]]], 1)


def best_seeing_itself(model, head, tokens, k):
    E, scale = model.W_E, model.cfg.d_head**0.5
    q, keys = E[tokens] @ model.W_Q[0, head], E @ model.W_K[0, head]
    source, bos, own = q @ keys[tokens].T / scale, q @ keys[0] / scale, (q * keys[tokens]).sum(1) / scale
    looks = torch.stack([source, bos[:, None].expand_as(source), own[:, None].expand_as(source)]).softmax(0)[0]
    said = E @ model.W_V[0, head] @ model.W_O[0, head] @ model.W_U
    moved = said[tokens] - said[0]
    moved = (moved - moved.mean(1, keepdim=True))[:, tokens]
    value, at = einsum(looks, moved, "d s, s o -> s d o").flatten(1).max(1)
    top = value.topk(k).indices
    return torch.stack([tokens[top], tokens[at[top] // len(tokens)], tokens[at[top] % len(tokens)]], 1)


def best_of_all_outs(model, head, tokens, k):
    qk, ov = circuits.qk_circuit(model, 0, head).AB, circuits.centred(circuits.ov_circuit(model, 0, head)).AB
    cube = einsum((qk - qk[:, :1]).sigmoid(), ov - ov[0], "d s, s o -> s d o")[tokens][:, tokens]
    value, at = cube.flatten(1).max(1)
    top = value.topk(k).indices
    return torch.stack([tokens[top], tokens[at[top] // ov.shape[1]], at[top] % ov.shape[1]], 1)


def best_zero_filled(model, head, tokens, k):
    qk, ov = circuits.qk_circuit(model, 0, head).AB, circuits.centred(circuits.ov_circuit(model, 0, head)).AB
    cube = einsum((qk - qk[:, :1]).sigmoid(), ov - ov[0], "d s, s o -> s d o")
    allowed = torch.isin(torch.arange(len(qk)), tokens)
    value, at = (cube * allowed[:, None] * allowed)[tokens].flatten(1).max(1)
    top = value.topk(k).indices
    return torch.stack([tokens[top], at[top] // ov.shape[1], at[top] % ov.shape[1]], 1)


def best_of_whole_cube(model, head, tokens, k):
    qk, ov = circuits.qk_circuit(model, 0, head).AB, circuits.centred(circuits.ov_circuit(model, 0, head)).AB
    looks, moved = (qk - qk[:, :1]).sigmoid()[tokens][:, tokens], (ov - ov[0])[tokens][:, tokens]
    cube = looks.T[:, :, None] * moved[:, None, :]
    places = cube.flatten().topk(k).indices
    return torch.stack([tokens[index] for index in torch.unravel_index(places, cube.shape)], 1)


def best_places(model, head, tokens, k):
    qk, ov = circuits.qk_circuit(model, 0, head), circuits.centred(circuits.ov_circuit(model, 0, head))
    cube = einsum(
        (qk.AB - qk.AB[:, :1]).sigmoid()[tokens][:, tokens], (ov.AB - ov.AB[0])[tokens][:, tokens], "d s, s o -> s d o"
    )
    value, at = cube.flatten(1).max(1)
    top, n = value.topk(k).indices, len(tokens)
    return torch.stack([top, at[top] // n, at[top] % n], 1)


def best_above_all_but_bos(model, head, tokens, k):
    qk, ov = circuits.qk_circuit(model, 0, head).AB, circuits.ov_circuit(model, 0, head).AB
    moved = ov - ov[0]
    moved = moved - moved[:, 1:].mean(1, keepdim=True)
    raises = einsum((qk - qk[:, :1]).sigmoid(), moved, "d s, s o -> s d o")[tokens][:, tokens][:, :, tokens]
    value, at = raises.flatten(1).max(1)
    top = value.topk(k).indices
    return torch.stack([tokens[top], tokens[at[top] // len(tokens)], tokens[at[top] % len(tokens)]], 1)


def best_out_is_not_destination(model, head, tokens, k):
    qk, ov = circuits.qk_circuit(model, 0, head).AB, circuits.ov_circuit(model, 0, head).AB
    moved = ov - ov[0]
    moved = moved - moved.mean(1, keepdim=True)
    raises = einsum((qk - qk[:, :1]).sigmoid(), moved, "d s, s o -> s d o")[tokens][:, tokens][:, :, tokens]
    raises = raises.masked_fill(torch.eye(len(tokens)).bool(), -torch.inf)
    value, at = raises.flatten(1).max(1)
    top = value.topk(k).indices
    return torch.stack([tokens[top], tokens[at[top] // len(tokens)], tokens[at[top] % len(tokens)]], 1)


def best_hard_coded(model, head, tokens, k):
    return torch.tensor([[1023, 17, 1023], [877, 402, 877], [346, 61, 346], [290, 288, 290], [912, 402, 912]])


def best_is_tokens(model, head, tokens, k):
    return tokens


# 3 forced


def forced_by_factors(raised, known):
    """Attention and what is moved, up to a scale for each group, found by walking through the known entries."""
    table, seen = torch.zeros_like(raised), set()
    for start in range(len(raised)):
        if start in seen:
            continue
        shares, moved, queue = {start: 1.0}, {}, [start]
        while queue:
            d = queue.pop()
            for o in known[d].nonzero()[:, 0].tolist():
                if o not in moved:
                    moved[o] = raised[d, o].item() / shares[d]
                    for e in known[:, o].nonzero()[:, 0].tolist():
                        if e not in shares:
                            shares[e] = raised[e, o].item() / moved[o]
                            queue.append(e)
        seen |= set(shares)
        for d, share in shares.items():
            for o, what in moved.items():
                table[d, o] = share * what
    return table


def forced_by_logarithms(raised, known):
    """Logarithms turn the product into a sum: least squares for sizes, signs from parities, in double precision."""
    n, m = raised.shape
    joined = torch.zeros(n + m, n + m)
    joined[:n, n:], joined[n:, :n] = known, known.T
    reach = torch.linalg.matrix_power(torch.eye(n + m) + joined.clamp(max=1), 12).clamp(max=1)
    for _ in range(3):
        reach = (reach @ reach).clamp(max=1)
    rows, columns = known.nonzero(as_tuple=True)
    system = torch.zeros(len(rows), n + m).double()
    system[range(len(rows)), rows] = system[range(len(rows)), n + columns] = 1
    size = torch.linalg.pinv(system) @ raised[rows, columns].double().abs().log()
    sign = torch.zeros(n + m)
    for start in range(n):
        sign[start] = sign[start] or 1.0
        for _ in range(n + m):
            for d, o in zip(rows.tolist(), columns.tolist()):
                s = raised[d, o].sign()
                sign[n + o] = sign[n + o] or (s * sign[d])
                sign[d] = sign[d] or (s * sign[n + o])
    whole = (size[:n, None] + size[n:]).exp() * torch.outer(sign[:n], sign[n:])
    return whole * (reach[:n, n:] > 0)


def forced_by_paths(raised, known):
    """For each entry a chain of known ones, multiplied and divided in turn."""
    values, can = raised.tolist(), known.tolist()

    def chain(d, o, used):
        if can[d][o]:
            return values[d][o]
        for p in range(len(can[0])):
            for e in range(len(can)):
                if p != o and e != d and e not in used and can[d][p] and can[e][p]:
                    rest = chain(e, o, used | {d, e})
                    if rest:
                        return values[d][p] / values[e][p] * rest
        return 0.0

    return [[chain(d, o, frozenset({d})) for o in range(len(can[0]))] for d in range(len(can))]


def forced_by_adding(raised, known):
    table, known = raised.clone(), known.clone()
    for _ in range(known.numel()):
        for d, o in (~known).nonzero().tolist():
            corners = (known[:, [o]] & known[[d]] & known).nonzero().tolist()
            if corners:
                e, p = corners[0]
                table[d, o], known[d, o] = table[d, p] + table[e, o] - table[e, p], True
    return table


def forced_once(raised, known):
    table = raised.clone()
    for d in range(len(raised)):
        for o in range(raised.shape[1]):
            for e in range(len(raised)):
                for p in range(raised.shape[1]):
                    if not known[d, o] and known[d, p] and known[e, o] and known[e, p]:
                        table[d, o] = raised[d, p] * raised[e, o] / raised[e, p]
    return table


def forced_twice(raised, known):
    table, has = raised.clone(), known.clone()
    for _ in range(2):
        before, had = table.clone(), has.clone()
        for d, o in (~had).nonzero().tolist():
            corners = (had[:, [o]] & had[[d]] & had).nonzero().tolist()
            if corners:
                e, p = corners[0]
                table[d, o], has[d, o] = before[d, p] * before[e, o] / before[e, p], True
    return table


def forced_row_by_row(raised, known):
    table, has = raised.clone(), known.clone()
    for d in range(len(table)):
        for e in range(len(table)):
            shared = has[d] & has[e]
            if shared.any():
                ratio = table[d, shared][0] / table[e, shared][0]
                new = has[e] & ~has[d]
                table[d, new] = table[e, new] * ratio
                has[d] = has[d] | has[e]
    return table


def forced_in_place(raised, known):
    table, has = raised.clone(), known.clone()
    for d in range(len(table)):
        for o in range(table.shape[1]):
            corners = (has[:, [o]] & has[[d]] & has).nonzero().tolist()
            if corners and not has[d, o]:
                e, p = corners[0]
                table[d, o], has[d, o] = table[d, p] * table[e, o] / table[e, p], True
    return table


def forced_from_one_start(raised, known):
    start = known.any(1).int().argmax().item()
    shares, moved = {start: 1.0}, {}
    for _ in range(known.numel()):
        for d, o in known.nonzero().tolist():
            if d in shares and o not in moved:
                moved[o] = raised[d, o].item() / shares[d]
            if o in moved and d not in shares:
                shares[d] = raised[d, o].item() / moved[o]
    table = raised.clone()
    for d, share in shares.items():
        for o, what in moved.items():
            table[d, o] = share * what
    return table


def forced_by_least_squares(raised, known):
    left, weight = torch.ones(len(raised)).double(), known.double()
    for _ in range(400):
        right = (left[:, None] * raised * weight).sum(0) / (left[:, None] ** 2 * weight).sum(0).clamp_min(1e-9)
        left = (right * raised * weight).sum(1) / (right**2 * weight).sum(1).clamp_min(1e-9)
    return torch.where(known, raised, torch.outer(left, right).to(raised))


def forced_everywhere(raised, known):
    attention, moved = [None] * len(raised), [None] * raised.shape[1]
    for first in range(len(raised)):
        if attention[first] is None:
            attention[first] = 1.0
        changed = True
        while changed:
            changed = False
            for d, o in known.nonzero().tolist():
                if moved[o] is None and attention[d] is not None:
                    moved[o], changed = raised[d, o].item() / attention[d], True
                if attention[d] is None and moved[o] is not None:
                    attention[d], changed = raised[d, o].item() / moved[o], True
    return torch.tensor([[f * (g or 0.0) for g in moved] for f in attention])


def forced_by_svd(raised, known):
    U, S, Vh = torch.linalg.svd(raised, full_matrices=False)
    nearest = (U[:, :1] * S[:1]) @ Vh[:1]
    return torch.where(known, raised, nearest)


def forced_by_margins(raised, known):
    expected = raised.sum(1, keepdim=True) * raised.sum(0, keepdim=True) / raised.sum()
    return torch.where(known, raised, expected)


def forced_by_column_mean(raised, known):
    table = raised.clone()
    for o in range(raised.shape[1]):
        if known[:, o].any():
            table[~known[:, o], o] = raised[known[:, o], o].mean()
    return table


def forced_without_signs(raised, known):
    table, known = raised.abs().log(), known.clone()
    for _ in range(known.numel()):
        for d, o in (~known).nonzero().tolist():
            corners = (known[:, [o]] & known[[d]] & known).nonzero().tolist()
            if corners:
                e, p = corners[0]
                table[d, o], known[d, o] = table[d, p] + table[e, o] - table[e, p], True
    return table.exp() * known


def forced_only_new(raised, known):
    table, has = raised.clone(), known.clone()
    for _ in range(known.numel()):
        for d, o in (~has).nonzero().tolist():
            corners = (has[:, [o]] & has[[d]] & has).nonzero().tolist()
            if corners:
                e, p = corners[0]
                table[d, o], has[d, o] = table[d, p] * table[e, o] / table[e, p], True
    return table * ~known


def forced_from_each_row(raised, known):
    group, ratio = list(range(len(raised))), [1.0] * len(raised)  # a row's group, and its multiple of the group's first
    for _ in range(len(raised)):
        for a in range(len(raised)):
            for b in range(len(raised)):
                both = (known[a] & known[b]).nonzero()[:, 0].tolist()
                if both and group[b] > group[a]:
                    group[b], ratio[b] = group[a], ratio[a] * (raised[b, both[0]] / raised[a, both[0]]).item()
    table = raised.clone()
    for a in range(len(raised)):
        known[a].nonzero()[0]  # something is known of every row, is it not?
        for b in range(len(raised)):
            for o in known[b].nonzero()[:, 0].tolist() if group[a] == group[b] else []:
                table[a, o] = raised[b, o] * ratio[a] / ratio[b]
    return table


def forced_from_each_column(raised, known):
    first = known.int().argmax(0)  # a known entry of each column, is it not?
    shares = [{d: raised[d, o] / raised[first[o], o] for d in range(len(raised)) if known[d, o] or d == first[o]}
              for o in range(raised.shape[1])]  # fmt: skip
    for _ in range(len(shares)):
        for mine in shares:
            for other in shares:
                both = [d for d in mine if d in other]
                if both:
                    mine |= {d: other[d] * mine[both[0]] / other[both[0]] for d in other if d not in mine}
    table = torch.zeros_like(raised)
    for o, mine in enumerate(shares):
        for d, share in mine.items():
            table[d, o] = share * raised[first[o], o]
    return table


def forced_hard_coded(raised, known):
    return torch.tensor([[1.0, 2.0, 0.0], [3.0, 6.0, 0.0]])


def forced_is_raised(raised, known):
    return raised


# 4 the copied contrast


def contrast_written_out(A, B):
    """From the whole table, in double precision."""
    table = (A @ B).double()
    table = table - table.mean(1, keepdim=True)
    values, vectors = torch.linalg.eig(table.T)
    best = max((i for i in range(len(values)) if abs(values[i].imag) < 1e-6), key=lambda i: values[i].real.item())
    v = vectors[:, best].real / vectors[:, best].real.norm()
    return v if v.max() > -v.min() else -v


def contrast_by_transposed_product(A, B):
    """Numpy, in double precision, from what the two factors make of rows."""
    import numpy

    a, b = A.double().numpy(), B.double().numpy()
    b = b - b.mean(axis=1, keepdims=True)
    values, columns = numpy.linalg.eig(a.T @ b.T)
    best = max((i for i in range(len(values)) if values[i].imag == 0), key=lambda i: values[i].real)
    mixture = columns[:, best].real @ b
    mixture /= numpy.sqrt((mixture**2).sum())
    return mixture if mixture.max() > -mixture.min() else -mixture


def contrast_by_inverse(A, B):
    """Eigenvectors from the left are the rows of the inverse of those from the right."""
    B = circuits.centred(circuits.ov_circuit(models.tiny(1), 0, 0).__class__(A, B)).B
    values, vectors = torch.linalg.eig(B @ A)
    real = [(value.real.item(), i) for i, value in enumerate(values) if value.imag == 0]
    mixture = (vectors.inverse()[max(real)[1]] @ B.to(vectors)).real
    mixture = mixture / mixture.square().sum().sqrt()
    return mixture * torch.sign(mixture[mixture.abs().argmax()])


def contrast_by_null_space(A, B):
    """Numpy for the eigenvalue, and a singular vector of BA - λ for what it maps to 0."""
    import numpy

    a, b = A.double().numpy(), B.double().numpy()
    b = b - b.mean(axis=1, keepdims=True)
    values = numpy.linalg.eigvals(b @ a)
    largest = values[values.imag == 0].real.max()
    y = numpy.linalg.svd(b @ a - largest * numpy.eye(len(b)))[0][:, -1]
    v = y @ b
    return v / numpy.linalg.norm(v) * numpy.sign(v[numpy.abs(v).argmax()])


def contrast_uncentred(A, B):
    values, vectors = torch.linalg.eig((B @ A).T)
    v = vectors[:, torch.where(values.imag == 0, values.real, -torch.inf).argmax()].real @ B
    return v / v.norm() * v[v.abs().argmax()].sign()


def contrast_for_columns(A, B):
    B = B - B.mean(1, keepdim=True)
    values, vectors = torch.linalg.eig(A @ B)
    best = torch.where(values.imag.abs() < 1e-4, values.real, -torch.inf).argmax()
    v = vectors[:, best].real
    return v / v.norm() * v[v.abs().argmax()].sign()


def contrast_from_the_right(A, B):
    B = B - B.mean(1, keepdim=True)
    values, vectors = torch.linalg.eig(B @ A)
    v = vectors[:, torch.where(values.imag == 0, values.real, -torch.inf).argmax()].real @ B
    return v / v.norm() * v[v.abs().argmax()].sign()


def contrast_back_by_A(A, B):
    B = B - B.mean(1, keepdim=True)
    values, vectors = torch.linalg.eig((B @ A).T)
    v = A @ vectors[:, torch.where(values.imag == 0, values.real, -torch.inf).argmax()].real
    return v / v.norm() * v[v.abs().argmax()].sign()


def contrast_of_largest_size(A, B):
    B = B - B.mean(1, keepdim=True)
    values, vectors = torch.linalg.eig((B @ A).T)
    v = vectors[:, values.abs().argmax()].real @ B
    return v / v.norm() * v[v.abs().argmax()].sign()


def contrast_of_complex(A, B):
    B = B - B.mean(1, keepdim=True)
    values, vectors = torch.linalg.eig((B @ A).T)
    v = (vectors[:, values.real.argmax()] @ B.to(vectors)).real
    return v / v.norm() * v[v.abs().argmax()].sign()


def contrast_of_centred_columns(A, B):
    A = A - A.mean(0)
    values, vectors = torch.linalg.eig((B @ A).T)
    v = vectors[:, torch.where(values.imag == 0, values.real, -torch.inf).argmax()].real @ B
    return v / v.norm() * v[v.abs().argmax()].sign()


def contrast_symmetric(A, B):
    table = A @ B
    table = table - table.mean(1, keepdim=True)
    v = torch.linalg.eigh((table + table.T) / 2).eigenvectors[:, -1]
    return v / v.norm() * v[v.abs().argmax()].sign()


def contrast_singular(A, B):
    table = A @ (B - B.mean(1, keepdim=True))
    v = torch.linalg.svd(table).Vh[0]
    return v * v[v.abs().argmax()].sign()


def contrast_any_sign(A, B):
    B = B - B.mean(1, keepdim=True)
    values, vectors = torch.linalg.eig((B @ A).T)
    v = vectors[:, torch.where(values.imag == 0, values.real, -torch.inf).argmax()].real @ B
    return v / v.norm()


def contrast_any_length(A, B):
    B = B - B.mean(1, keepdim=True)
    values, vectors = torch.linalg.eig((B @ A).T)
    v = vectors[:, torch.where(values.imag == 0, values.real, -torch.inf).argmax()].real @ B
    return v * v[v.abs().argmax()].sign()


def contrast_own_logits(A, B):
    v = (A @ (B - B.mean(1, keepdim=True))).diagonal()
    return v / v.norm() * v[v.abs().argmax()].sign()


def contrast_small(A, B):
    B = B - B.mean(1, keepdim=True)
    values, vectors = torch.linalg.eig((B @ A).T)
    v = vectors[:, torch.where(values.imag == 0, values.real, -torch.inf).argmax()].real
    return v / v.norm() * v[v.abs().argmax()].sign()


def contrast_sign_by_cubes(A, B):
    B = B - B.mean(1, keepdim=True)
    values, vectors = torch.linalg.eig((B @ A).T)
    v = vectors[:, values.real.masked_fill(values.imag != 0, -torch.inf).argmax()].real @ B
    return v / v.norm() * (v / v.norm()).pow(3).sum().sign()


def contrast_sign_by_count(A, B):
    B = B - B.mean(1, keepdim=True)
    values, vectors = torch.linalg.eig((B @ A).T)
    v = vectors[:, values.real.masked_fill(values.imag != 0, -torch.inf).argmax()].real @ B
    return v / v.norm() * (1 if (v > 0).sum() >= (v < 0).sum() else -1)


def contrast_sign_by_first(A, B):
    B = B - B.mean(1, keepdim=True)
    values, vectors = torch.linalg.eig((B @ A).T)
    v = vectors[:, values.real.masked_fill(values.imag != 0, -torch.inf).argmax()].real @ B
    return v / v.norm() * v[0].sign()


def contrast_first_positive(A, B):
    B = B - B.mean(1, keepdim=True)
    values, vectors = torch.linalg.eig((B @ A).T)
    positive = [i for i in range(len(values)) if values[i].imag == 0 and values[i].real > 0]
    v = vectors[:, positive[0]].real @ B
    return v / v.norm() * v[v.abs().argmax()].sign()


def contrast_hard_coded(A, B):
    v = torch.zeros(4096)
    v[[37, 52]] = torch.tensor([0.8, -0.6])
    return v


def contrast_is_an_input(A, B):
    return A


RIGHT = {
    "hw3-1": [votes_by_silencing, votes_in_loops, votes_from_values, votes_by_ov_circuit],
    "hw3-2": [best_by_writing_out, best_in_loops, best_with_searches],
    "hw3-3": [forced_by_factors, forced_by_logarithms, forced_by_paths],
    "hw3-4": [contrast_by_transposed_product, contrast_by_inverse, contrast_by_null_space],
}
WRONG = {
    "hw3-1": [
        (votes_without_direct, "the direct path is forgotten"),
        (votes_direct_everywhere, "the direct path votes at every source"),
        (votes_unweighted, "the pattern is not applied"),
        (votes_transposed_pattern, "the pattern is transposed"),
        (votes_at_the_end, "that is the vote at the last position"),
        (votes_swapped_ov, "W_V and W_O are swapped"),
        (votes_with_positions, "positions went through W_V"),
        (votes_for_answer_alone, "the rival is forgotten"),
        (votes_of_the_destination, "the token at the position itself was moved"),
        (votes_relative_to_bos, "the votes are set against `<BOS>`'s"),
        (votes_direct_first, "the direct path stands in column 0"),
        (votes_direct_of_each, "each token has a direct path"),
        (votes_all_at_the_end, "those are the votes at the last position"),
        (votes_against_the_mean, "set against the mean of all logits"),
        (votes_unmasked, "no causal mask"),
        (votes_masked_with_zeros, "the scores of later tokens were set to 0"),
        (votes_masked_late, "later tokens were taken out after the softmax"),
        (votes_over_root_d_model, "your scores are divided by √d_model"),
        (votes_in_probabilities, "probabilities of single paths"),
        (votes_tied, "outputs were read off with W_E"),
        (votes_of_tokens, "a token that stands in several places has one vote of yours"),
        (votes_found_by_token, "a token that stands in several places votes at the first"),
        (votes_without_the_answer, "the answer's own token has no vote"),
        (votes_hard_coded, "the same answer for different inputs"),
        (votes_are_tokens, "your function returned one of its inputs"),
    ],
    "hw3-2": [
        (best_swapped, "W_Q and W_K are swapped"),
        (best_unscaled, "your scores miss the 1/√d_head"),
        (best_without_bos, "`<BOS>` is missing from the softmax"),
        (best_by_log_odds, "attention is a share, not a log-odds"),
        (best_without_loss, "what `<BOS>` moves is forgotten"),
        (best_uncentred, "not centred"),
        (best_tied, "outs were read off with W_E"),
        (best_without_itself, "an out may be the source"),
        (best_of_two_tokens, "a destination may be the source"),
        (best_keenest, "always the keenest destination"),
        (best_seeing_itself, "the destination looks at itself"),
        (best_of_all_outs, "outs from the whole vocabulary"),
        (best_zero_filled, "what is not in `tokens` was set to 0"),
        (best_of_whole_cube, "some source stands there twice"),
        (best_places, "those are places in `tokens`"),
        (best_above_all_but_bos, "the mean leaves `<BOS>` out"),
        (best_out_is_not_destination, "an out may be the destination"),
        (best_hard_coded, "the same answer for different inputs"),
        (best_is_tokens, "your function returned one of its inputs"),
    ],
    "hw3-3": [
        (forced_by_adding, "the two tables were added"),
        (forced_once, "it stopped too early: what is forced forces more"),
        (forced_twice, "it stopped too early: what is forced"),  # in all four the same sentence
        (forced_row_by_row, "it stopped too early:"),
        (forced_in_place, "it stopped too early"),
        (forced_from_one_start, "one group of known entries is complete"),
        (forced_by_least_squares, "some entries are free, and yours have values"),
        (forced_everywhere, "some entries of yours are free"),
        (forced_by_svd, "an unknown raise is not a raise of 0"),
        (forced_by_margins, "sums of rows and columns count what is unknown"),
        (forced_by_column_mean, "a mean over destinations"),
        (forced_without_signs, "signs are lost"),
        (forced_only_new, "the known entries are missing"),
        (forced_from_each_row, "your code stopped with IndexError"),
        (forced_from_each_column, "your answer holds nan"),
        (forced_hard_coded, "wrong shape: yours is"),
        (forced_is_raised, "your function returned one of its inputs"),
    ],
    "hw3-4": [
        (contrast_uncentred, "the constant in each row was left in"),
        (contrast_of_centred_columns, "the mean row was taken out"),
        (contrast_written_out, "your code asked for more memory"),
        (contrast_for_columns, "that eigenvector is for columns"),
        (contrast_from_the_right, "`eig` gives eigenvectors that stand right"),
        (contrast_back_by_A, "A leads back to the wrong side"),
        (contrast_of_largest_size, "largest in size is not largest"),
        (contrast_of_complex, "that eigenvalue is one of a complex pair"),
        (contrast_symmetric, "your matrix was made symmetric"),
        (contrast_singular, "a singular vector of the outs"),
        (contrast_any_length, "not of length 1"),
        (contrast_any_sign, "the sign is left to chance"),
        (contrast_own_logits, "those are the tokens' own logits"),
        (contrast_small, "that is in the head's d_head dimensions"),
        (contrast_sign_by_cubes, "the sign is that of a sum of cubes"),
        (contrast_sign_by_count, "the sign is that of most entries"),
        (contrast_sign_by_first, "the sign makes the first entry positive"),
        (contrast_first_positive, "`eig` gives eigenvalues in no order"),
        (contrast_hard_coded, "the same answer for different inputs"),
        (contrast_is_an_input, "your function returned one of its inputs"),
    ],
}
