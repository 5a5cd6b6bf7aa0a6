"""Right answers to homework 2, in different ways, and wrong ones with the start of the sentence they deserve."""

# ruff: noqa: F401
import matplotlib.pyplot as plt
import torch
from einops import einsum
from jaxtyping import Float, Int
from torch import Tensor

from walkthrough import behaviour, figures, models, paths

_ = torch.set_num_threads(1), torch.manual_seed(0)

# hw2-1 change_by_wire


def from_cached_vectors(model, tokens, changed, layer, head):
    caches = [model.run_with_cache(prompt)[1] for prompt in (tokens, changed)]
    q, k, v = ([cache[name, layer][0, :, head] for cache in caches] for name in "qkv")
    n_pos = tokens.shape[1]
    seen = torch.ones(n_pos, n_pos).tril().bool()

    def z(i, j, m):
        scores = einsum(q[i], k[j], "query d_head, key d_head -> query key") / v[m].shape[-1] ** 0.5
        weights = torch.where(seen, scores, -1e9).softmax(dim=1)
        return einsum(weights, v[m], "query key, key d_head -> query d_head")

    W_O = model.W_O[layer, head]
    return [(z(1, 0, 0) - z(0, 0, 0)) @ W_O, (z(0, 1, 0) - z(0, 0, 0)) @ W_O, (z(0, 0, 1) - z(0, 0, 0)) @ W_O]


def query_by_query(model, tokens, changed, layer, head):
    import math

    x, y = (model.run_with_cache(prompt)[1][f"blocks.{layer}.hook_resid_pre"][0] for prompt in (tokens, changed))
    W_Q, W_K, W_V, W_O = models.head_weights(model, layer, head)
    answer = torch.zeros(3, len(x), model.cfg.d_model)
    for wire in range(3):
        for streams, sign in (([x, x, x], -1), ([x, x, x], 1)):
            if sign == 1:
                streams[wire] = y
            for query in range(len(x)):
                q = (streams[0][query] + model.W_pos[query]) @ W_Q
                total, z = 0.0, 0.0
                for key in range(query + 1):
                    k = (streams[1][key] + model.W_pos[key]) @ W_K
                    weight = math.exp((q @ k).item() / math.sqrt(len(q)))
                    total, z = total + weight, z + weight * (streams[2][key] @ W_V)
                answer[wire, query] += sign * (z / total @ W_O).float()
    return answer


def two_circuits_in_float64(model, tokens, changed, layer, head):
    streams = [model.run_with_cache(prompt)[1]["resid_pre", layer][0].double() for prompt in (tokens, changed)]
    QK = model.W_Q[layer, head].double() @ model.W_K[layer, head].double().T * model.cfg.d_head**-0.5
    OV = model.W_V[layer, head].double() @ model.W_O[layer, head].double()
    placed = [x + model.W_pos[: len(x)].double() for x in streams]
    later = torch.ones(len(placed[0]), len(placed[0])).triu(1) > 0
    look = lambda i, j: (placed[i] @ QK @ placed[j].T).masked_fill(later, float("-inf")).softmax(-1)
    move = [x @ OV for x in streams]
    return torch.stack([(look(1, 0) - look(0, 0)) @ move[0], (look(0, 1) - look(0, 0)) @ move[0],
                        look(0, 0) @ (move[1] - move[0])])  # fmt: skip


def model_runs_with_this_head_patched(model, tokens, changed, layer, head):
    names = [f"blocks.{layer}.attn.hook_{letter}" for letter in "qkv"]
    new = model.run_with_cache(changed)[1]
    zs = []
    for chosen in ([], *([name] for name in names)):

        def swap(x, hook, chosen=chosen):
            x = x.clone()
            x[:, :, head] = new[chosen[0]][:, :, head]
            return x

        keep = []
        store = (f"blocks.{layer}.attn.hook_z", lambda z, hook, keep=keep: keep.append(z[0, :, head].clone()))
        model.run_with_hooks(tokens, fwd_hooks=[*((name, swap) for name in chosen), store])
        zs.append(keep[0])
    return torch.stack([(z - zs[0]) @ model.W_O[layer, head] for z in zs[1:]])


def wires_unscaled(model, tokens, changed, layer, head):
    x, y = (model.run_with_cache(t)[1]["resid_pre", layer][0] for t in (tokens, changed))
    W_Q, W_K, W_V, W_O = models.head_weights(model, layer, head)
    W_pos = model.W_pos[: len(x)]

    def out(a, b, c):
        scores = (a + W_pos) @ W_Q @ ((b + W_pos) @ W_K).T
        return (scores + torch.full_like(scores, -torch.inf).triu(1)).softmax(-1) @ c @ W_V @ W_O

    return torch.stack([out(y, x, x), out(x, y, x), out(x, x, y)]) - out(x, x, x)


def wires_unmasked(model, tokens, changed, layer, head):
    x, y = (model.run_with_cache(t)[1]["resid_pre", layer][0] for t in (tokens, changed))
    W_Q, W_K, W_V, W_O = models.head_weights(model, layer, head)
    W_pos = model.W_pos[: len(x)]

    def out(a, b, c):
        scores = (a + W_pos) @ W_Q @ ((b + W_pos) @ W_K).T / model.cfg.d_head**0.5
        return scores.softmax(-1) @ c @ W_V @ W_O

    return torch.stack([out(y, x, x), out(x, y, x), out(x, x, y)]) - out(x, x, x)


def wires_masked_with_zeros(model, tokens, changed, layer, head):
    x, y = (model.run_with_cache(t)[1]["resid_pre", layer][0] for t in (tokens, changed))
    W_Q, W_K, W_V, W_O = models.head_weights(model, layer, head)
    W_pos = model.W_pos[: len(x)]

    def out(a, b, c):
        scores = (a + W_pos) @ W_Q @ ((b + W_pos) @ W_K).T / model.cfg.d_head**0.5
        return scores.tril().softmax(-1) @ c @ W_V @ W_O

    return torch.stack([out(y, x, x), out(x, y, x), out(x, x, y)]) - out(x, x, x)


def wires_masked_late(model, tokens, changed, layer, head):
    x, y = (model.run_with_cache(t)[1]["resid_pre", layer][0] for t in (tokens, changed))
    W_Q, W_K, W_V, W_O = models.head_weights(model, layer, head)
    W_pos = model.W_pos[: len(x)]

    def out(a, b, c):
        scores = (a + W_pos) @ W_Q @ ((b + W_pos) @ W_K).T / model.cfg.d_head**0.5
        return scores.softmax(-1).tril() @ c @ W_V @ W_O

    return torch.stack([out(y, x, x), out(x, y, x), out(x, x, y)]) - out(x, x, x)


def wires_over_root_d_model(model, tokens, changed, layer, head):
    x, y = (model.run_with_cache(t)[1]["resid_pre", layer][0] for t in (tokens, changed))
    W_Q, W_K, W_V, W_O = models.head_weights(model, layer, head)
    W_pos = model.W_pos[: len(x)]

    def out(a, b, c):
        scores = (a + W_pos) @ W_Q @ ((b + W_pos) @ W_K).T / model.cfg.d_model**0.5
        return scores.masked_fill(torch.ones_like(scores).triu(1) > 0, -torch.inf).softmax(-1) @ c @ W_V @ W_O

    return torch.stack([out(y, x, x), out(x, y, x), out(x, x, y)]) - out(x, x, x)


def wires_without_positions(model, tokens, changed, layer, head):
    caches = [model.run_with_cache(t)[1]["resid_pre", layer][0] for t in (tokens, changed)]
    W_Q, W_K, W_V, W_O = models.head_weights(model, layer, head)

    def out(a, b, c):
        scores = caches[a] @ W_Q @ (caches[b] @ W_K).T / model.cfg.d_head**0.5
        scores = scores.masked_fill(torch.ones_like(scores).triu(1) == 1, -torch.inf)
        return paths.head_output(scores.softmax(-1), caches[c], W_V, W_O)

    return torch.stack([out(1, 0, 0) - out(0, 0, 0), out(0, 1, 0) - out(0, 0, 0), out(0, 0, 1) - out(0, 0, 0)])


def wires_with_placed_values(model, tokens, changed, layer, head):
    x, y = (model.run_with_cache(t)[1]["resid_pre", layer][0] + model.W_pos[: t.shape[1]] for t in (tokens, changed))
    W_Q, W_K, W_V, W_O = models.head_weights(model, layer, head)

    def out(a, b, c):
        scores = a @ W_Q @ (b @ W_K).T / model.cfg.d_head**0.5
        return (scores + torch.full_like(scores, -torch.inf).triu(1)).softmax(-1) @ c @ W_V @ W_O

    return torch.stack([out(y, x, x), out(x, y, x), out(x, x, y)]) - out(x, x, x)


def wires_from_embeddings(model, tokens, changed, layer, head):
    x, y = model.W_E[tokens[0]], model.W_E[changed[0]]
    W_Q, W_K, W_V, W_O = models.head_weights(model, layer, head)
    W_pos = model.W_pos[: len(x)]

    def out(a, b, c):
        scores = (a + W_pos) @ W_Q @ ((b + W_pos) @ W_K).T / model.cfg.d_head**0.5
        return (scores + torch.full_like(scores, -torch.inf).triu(1)).softmax(-1) @ c @ W_V @ W_O

    return torch.stack([out(y, x, x), out(x, y, x), out(x, x, y)]) - out(x, x, x)


def wires_unfrozen(model, tokens, changed, layer, head):
    caches = [model.run_with_cache(t)[1] for t in (tokens, changed)]
    q, k, v = ([cache[name, layer][0, :, head] for cache in caches] for name in "qkv")
    ahead = torch.ones(tokens.shape[1], tokens.shape[1]).triu(1).bool()
    look = lambda a, b: (q[a] @ k[b].T / model.cfg.d_head**0.5).masked_fill(ahead, -torch.inf).softmax(-1)
    before, W_O = look(0, 0) @ v[0], model.W_O[layer, head]
    return torch.stack([look(1, 0) @ v[0] - before, look(0, 1) @ v[0] - before, look(1, 1) @ v[1] - before]) @ W_O


def wires_on_top_of_each_other(model, tokens, changed, layer, head):
    new, runs = model.run_with_cache(changed)[1], []
    for letters in ("", "q", "qk", "qkv"):
        hooks = [(f"blocks.{layer}.attn.hook_{letter}", lambda x, hook: new[hook.name]) for letter in letters]
        with model.hooks(fwd_hooks=hooks):
            runs.append(model.run_with_cache(tokens)[1]["z", layer][0, :, head] @ model.W_O[layer, head])
    return torch.stack([runs[1] - runs[0], runs[2] - runs[1], runs[3] - runs[2]])


def wires_restored(model, tokens, changed, layer, head):
    old, full = (model.run_with_cache(t)[1] for t in (tokens, changed))
    W_O, answers = model.W_O[layer, head], []
    for letter in "qkv":
        hook = (f"blocks.{layer}.attn.hook_{letter}", lambda x, hook: old[hook.name])
        with model.hooks(fwd_hooks=[hook]):
            restored = model.run_with_cache(changed)[1]["z", layer][0, :, head]
        answers.append((full["z", layer][0, :, head] - restored) @ W_O)
    return torch.stack(answers)


def wires_not_less_the_output(model, tokens, changed, layer, head):
    new, outputs = model.run_with_cache(changed)[1], []
    for letter in "qkv":
        hook = (f"blocks.{layer}.attn.hook_{letter}", lambda x, hook: new[hook.name])
        with model.hooks(fwd_hooks=[hook]):
            outputs.append(model.run_with_cache(tokens)[1]["z", layer][0, :, head] @ model.W_O[layer, head])
    return torch.stack(outputs)


def wires_of_the_layer(model, tokens, changed, layer, head):
    new, old, answers = model.run_with_cache(changed)[1], model.run_with_cache(tokens)[1], []
    for letter in "qkv":
        hook = (f"blocks.{layer}.attn.hook_{letter}", lambda x, hook: new[hook.name])
        with model.hooks(fwd_hooks=[hook]):
            answers.append((model.run_with_cache(tokens)[1]["attn_out", layer] - old["attn_out", layer])[0])
    return torch.stack(answers)


def wires_of_z(model, tokens, changed, layer, head):
    new, old, answers = model.run_with_cache(changed)[1], model.run_with_cache(tokens)[1], []
    for letter in "qkv":
        hook = (f"blocks.{layer}.attn.hook_{letter}", lambda x, hook: new[hook.name])
        with model.hooks(fwd_hooks=[hook]):
            answers.append((model.run_with_cache(tokens)[1]["z", layer] - old["z", layer])[0, :, head])
    return torch.stack(answers)


def wires_piled_up(model, tokens, changed, layer, head):
    new, runs = model.run_with_cache(changed)[1], []
    for letters in ("", "q", "qk", "qkv"):
        hooks = [(f"blocks.{layer}.attn.hook_{letter}", lambda x, hook: new[hook.name]) for letter in letters]
        with model.hooks(fwd_hooks=hooks):
            runs.append(model.run_with_cache(tokens)[1]["z", layer][0, :, head] @ model.W_O[layer, head])
    return torch.stack(runs[1:]) - runs[0]


def wires_the_other_way_round(model, tokens, changed, layer, head):
    old, outputs = model.run_with_cache(tokens)[1], []
    for letters in ("", "q", "k", "v"):
        hooks = [(f"blocks.{layer}.attn.hook_{letter}", lambda x, hook: old[hook.name]) for letter in letters]
        with model.hooks(fwd_hooks=hooks):
            outputs.append(model.run_with_cache(changed)[1]["z", layer][0, :, head] @ model.W_O[layer, head])
    return torch.stack([output - outputs[0] for output in outputs[1:]])


def wires_at_one_position(model, tokens, changed, layer, head):
    place = (tokens != changed)[0].nonzero().item()
    old, new = (model.run_with_cache(t)[1]["resid_pre", layer][0] for t in (tokens, changed))
    patched = old.clone()
    patched[place] = new[place]
    W_Q, W_K, W_V, W_O = models.head_weights(model, layer, head)
    W_pos = model.W_pos[: len(old)]

    def out(a, b, c):
        scores = (a + W_pos) @ W_Q @ ((b + W_pos) @ W_K).T / model.cfg.d_head**0.5
        return (scores + torch.full_like(scores, -torch.inf).triu(1)).softmax(-1) @ c @ W_V @ W_O

    return torch.stack([out(patched, old, old), out(old, patched, old), out(old, old, patched)]) - out(old, old, old)


def wires_of_head_0(model, tokens, changed, layer, head):
    old, new = (model.run_with_cache(t)[1]["resid_pre", layer][0] for t in (tokens, changed))
    W_Q, W_K, W_V, W_O = models.head_weights(model, layer, 0)
    W_pos, later = model.W_pos[: len(old)], torch.ones(len(old), len(old)).triu(1).bool()

    def output(q, k, v):
        scores = (q + W_pos) @ W_Q @ ((k + W_pos) @ W_K).T / W_Q.shape[1] ** 0.5
        return scores.masked_fill(later, -torch.inf).softmax(-1) @ v @ W_V @ W_O

    return torch.stack([output(new, old, old), output(old, new, old), output(old, old, new)]) - output(old, old, old)


def wires_hard_coded(model, tokens, changed, layer, head):
    model = models.load("two-layer")
    tokens, changed = (model.to_tokens(f"load(path)\nsave({word})\nload(path)\n") for word in ("path", "file"))
    old, new = (model.run_with_cache(t)[1] for t in (tokens, changed))
    answers = []
    for letter in "qkv":
        hook = (f"blocks.0.attn.hook_{letter}", lambda x, hook: new[hook.name])
        with model.hooks(fwd_hooks=[hook]):
            z = model.run_with_cache(tokens)[1]["z", 0]
        answers.append((z - old["z", 0])[0, :, 0] @ model.W_O[0, 0])
    return torch.stack(answers)


def wires_return_a_prompt(model, tokens, changed, layer, head):
    return changed


# hw2-2 votes_by_token


def with_one_hot_rows(model, tokens, head, answer, rival):
    A = model.run_with_cache(tokens)[1]["pattern", 0][0, head]
    here = torch.nn.functional.one_hot(tokens[0], model.cfg.d_vocab).to(A)
    table = model.W_E @ model.W_V[0, head] @ model.W_O[0, head] @ model.W_U
    return einsum(A, here, table[:, answer] - table[:, rival], "query key, key source, source -> query source")


def place_by_place(model, tokens, head, answer, rival):
    A = model.run_with_cache(tokens)[1]["pattern", 0][0, head]
    votes = [[0.0] * model.cfg.d_vocab for _ in tokens[0]]
    for query in range(tokens.shape[1]):
        for key in range(query + 1):
            logits = model.W_E[tokens[0, key]] @ model.W_V[0, head] @ model.W_O[0, head] @ model.W_U
            votes[query][tokens[0, key].item()] += (A[query, key] * (logits[answer] - logits[rival])).item()
    return votes


def from_cached_values_in_float64(model, tokens, head, answer, rival):
    cache = model.run_with_cache(tokens)[1]
    value = cache["v", 0][0, :, head].double() @ model.W_O[0, head].double() @ model.W_U.double()
    by_place = cache["pattern", 0][0, head].double() * (value[:, answer] - value[:, rival])
    return torch.stack([by_place[:, tokens[0] == token].sum(1) for token in range(model.cfg.d_vocab)], 1)


def with_factored_matrices(model, tokens, head, answer, rival):
    from walkthrough.circuits import ov_circuit

    table = ov_circuit(model, 0, head).AB
    votes = torch.zeros(tokens.shape[1], model.cfg.d_vocab, dtype=table.dtype)
    A = model.run_with_cache(tokens)[1]["pattern", 0][0, head]
    votes.scatter_add_(1, tokens.expand(len(A), -1), A)
    return votes * (table[:, answer] - table[:, rival])


def votes_overwritten(model, tokens, head, answer, rival):
    A = model.run_with_cache(tokens)[1]["pattern", 0][0, head]
    logits = model.W_E[tokens[0]] @ model.W_V[0, head] @ model.W_O[0, head] @ model.W_U
    votes = torch.zeros(len(A), model.cfg.d_vocab, dtype=A.dtype)
    for place, token in enumerate(tokens[0]):
        votes[:, token] = A[:, place] * (logits[place, answer] - logits[place, rival])
    return votes


def votes_of_places(model, tokens, head, answer, rival):
    cache = model.run_with_cache(tokens)[1]
    logits = cache["v", 0][0, :, head] @ model.W_O[0, head] @ model.W_U
    return cache["pattern", 0][0, head] * (logits[:, answer] - logits[:, rival])


def votes_from_columns(model, tokens, head, answer, rival):
    A = model.run_with_cache(tokens)[1]["pattern", 0][0, head]
    spent = torch.zeros(len(A), model.cfg.d_vocab).to(A).index_add(1, tokens[0], A)
    out_to_source = model.W_E @ model.W_V[0, head] @ model.W_O[0, head] @ model.W_U
    return spent * (out_to_source[answer] - out_to_source[rival])


def votes_with_OV_transposed(model, tokens, head, answer, rival):
    A = model.run_with_cache(tokens)[1]["pattern", 0][0, head]
    spent = torch.zeros(len(A), model.cfg.d_vocab).to(A).index_add(1, tokens[0], A)
    table = model.W_E @ (model.W_V[0, head] @ model.W_O[0, head]).T @ model.W_U
    return spent * (table[:, answer] - table[:, rival])


def votes_with_the_pattern_transposed(model, tokens, head, answer, rival):
    A = model.run_with_cache(tokens)[1]["pattern", 0][0, head]
    here = torch.nn.functional.one_hot(tokens[0], model.cfg.d_vocab).to(A)
    table = model.W_E @ model.W_V[0, head] @ model.W_O[0, head] @ model.W_U
    return einsum(A, here, table[:, answer] - table[:, rival], "key query, key source, source -> query source")


def votes_for_the_answer_only(model, tokens, head, answer, rival):
    A = model.run_with_cache(tokens)[1]["pattern", 0][0, head]
    spent = torch.zeros(len(A), model.cfg.d_vocab).to(A).index_add(1, tokens[0], A)
    return spent * (model.W_E @ model.W_V[0, head] @ model.W_O[0, head] @ model.W_U[:, answer])


def votes_averaged(model, tokens, head, answer, rival):
    cache = model.run_with_cache(tokens)[1]
    logits = cache["v", 0][0, :, head] @ model.W_O[0, head] @ model.W_U
    by_place = cache["pattern", 0][0, head] * (logits[:, answer] - logits[:, rival])
    votes = torch.zeros(len(by_place), model.cfg.d_vocab, dtype=by_place.dtype)
    for token in tokens[0].unique():
        votes[:, token] = by_place[:, tokens[0] == token].mean(1)
    return votes


def votes_without_bos(model, tokens, head, answer, rival):
    A = model.run_with_cache(tokens)[1]["pattern", 0][0, head][:, 1:]
    spent = torch.zeros(len(A), model.cfg.d_vocab).to(A).index_add(1, tokens[0, 1:], A)
    table = model.W_E @ model.W_V[0, head] @ model.W_O[0, head] @ model.W_U
    return spent * (table[:, answer] - table[:, rival])


def votes_of_the_query(model, tokens, head, answer, rival):
    A = model.run_with_cache(tokens)[1]["pattern", 0][0, head]
    logits = model.W_E[tokens[0]] @ model.W_V[0, head] @ model.W_O[0, head] @ model.W_U
    by_place = A * (logits[:, answer] - logits[:, rival])[:, None]
    return torch.zeros(len(A), model.cfg.d_vocab).to(A).index_add(1, tokens[0], by_place)


def votes_in_probabilities(model, tokens, head, answer, rival):
    A = model.run_with_cache(tokens)[1]["pattern", 0][0, head]
    probs = (model.W_E @ model.W_V[0, head] @ model.W_O[0, head] @ model.W_U).softmax(-1)
    here = torch.nn.functional.one_hot(tokens[0], model.cfg.d_vocab).to(A)
    return A @ here * (probs[:, answer] - probs[:, rival])


def votes_of_placed_values(model, tokens, head, answer, rival):
    A = model.run_with_cache(tokens)[1]["pattern", 0][0, head]
    placed = model.W_E[tokens[0]] + model.W_pos[: len(A)]
    logits = placed @ model.W_V[0, head] @ model.W_O[0, head] @ model.W_U
    by_place = A * (logits[:, answer] - logits[:, rival])
    return torch.zeros(len(A), model.cfg.d_vocab).to(A).index_add(1, tokens[0], by_place)


def votes_above_the_mean(model, tokens, head, answer, rival):
    A = model.run_with_cache(tokens)[1]["pattern", 0][0, head]
    spent = torch.zeros(len(A), model.cfg.d_vocab).to(A).index_add(1, tokens[0], A)
    table = model.W_E @ model.W_V[0, head] @ model.W_O[0, head] @ model.W_U
    return spent * (table[:, answer] - table.mean(1))


def votes_and_the_direct_path(model, tokens, head, answer, rival):
    A = model.run_with_cache(tokens)[1]["pattern", 0][0, head]
    lead = model.W_U[:, answer] - model.W_U[:, rival]
    spent = torch.zeros(len(A), model.cfg.d_vocab).to(A).index_add(1, tokens[0], A)
    votes = spent * (model.W_E @ model.W_V[0, head] @ model.W_O[0, head] @ lead)
    for query, token in enumerate(tokens[0]):
        votes[query, token] += model.W_E[token] @ lead
    return votes


def votes_of_head_0(model, tokens, head, answer, rival):
    pattern = model.run_with_cache(tokens)[1]["pattern", 0][0, 0]
    table = model.W_E @ model.W_V[0, 0] @ model.W_O[0, 0] @ model.W_U
    votes = torch.zeros(tokens.shape[1], model.cfg.d_vocab)
    for place, token in enumerate(tokens[0].tolist()):
        votes[:, token] += pattern[:, place] * (table[token, answer] - table[token, rival])
    return votes


def votes_hard_coded(model, tokens, head, answer, rival):
    model = models.load("one-layer")
    prompt = model.to_tokens("import pandas as pd\nimport numpy as np\nimport pandas as")
    answer, rival = model.to_single_token(" pd"), model.to_single_token(" np")
    A = model.run_with_cache(prompt)[1]["pattern", 0][0, 0]
    lead = model.W_E @ model.W_V[0, 0] @ model.W_O[0, 0] @ (model.W_U[:, answer] - model.W_U[:, rival])
    return torch.zeros(len(A), model.cfg.d_vocab).index_add(1, prompt[0], A) * lead


def votes_return_the_prompt(model, tokens, head, answer, rival):
    return tokens


# hw2-3 frozen_matrix


def block_by_block(model, tokens):
    cache, n_pos, d_model = model.run_with_cache(tokens)[1], tokens.shape[1], model.cfg.d_model
    whole = torch.eye(n_pos * d_model, dtype=model.W_E.dtype)
    for layer in range(model.cfg.n_layers):
        one = torch.eye(n_pos * d_model, dtype=model.W_E.dtype)
        for head in range(model.cfg.n_heads):
            for query in range(n_pos):
                for key in range(query + 1):
                    rows = slice(query * d_model, (query + 1) * d_model)
                    columns = slice(key * d_model, (key + 1) * d_model)
                    share = cache["pattern", layer][0, head, query, key]
                    one[rows, columns] += share * (model.W_V[layer, head] @ model.W_O[layer, head]).T
        whole = one @ whole
    return whole


def as_a_derivative(model, tokens):
    cache = model.run_with_cache(tokens)[1]
    hooks = paths.freeze([cache["pattern", layer] for layer in range(model.cfg.n_layers)])
    kept = []
    keep = (f"blocks.{model.cfg.n_layers - 1}.hook_resid_post", lambda resid, hook: kept.append(resid))

    def end(x):
        model.run_with_hooks(tokens, fwd_hooks=[("hook_embed", lambda old, hook: x), *hooks, keep])
        return kept.pop().reshape(-1)

    with torch.enable_grad():
        return torch.autograd.functional.jacobian(end, cache["hook_embed"]).flatten(1)


def sum_over_paths_in_float64(model, tokens):
    cache, n_layers = model.run_with_cache(tokens)[1], model.cfg.n_layers
    n_pos, d_model = tokens.shape[1], model.cfg.d_model
    chains = [(torch.eye(n_pos).double(), torch.eye(d_model).double())]
    for layer in range(n_layers):
        for A1, W1 in list(chains):
            for head in range(model.cfg.n_heads):
                A, W = cache["pattern", layer][0, head].double(), (model.W_V[layer, head] @ model.W_O[layer, head]).T
                chains.append((A @ A1, W.double() @ W1))
    return sum(torch.kron(A, W) for A, W in chains)


def with_einsum(model, tokens):
    cache = model.run_with_cache(tokens)[1]
    skip = torch.eye(tokens.shape[1] * model.cfg.d_model).to(model.W_E)
    rows = skip.view(len(skip), tokens.shape[1], -1)  # each unit stream goes through the layers
    for layer in range(model.cfg.n_layers):
        A, W_V, W_O = cache["pattern", layer][0], model.W_V[layer], model.W_O[layer]
        axes = "head query key, unit key read, head read d_head, head d_head write -> unit query write"
        rows = rows + einsum(A, rows, W_V, W_O, axes)
    return rows.flatten(1).T


def matrix_for_stacked_columns(model, tokens):
    cache, whole = model.run_with_cache(tokens)[1], torch.eye(tokens.shape[1] * model.cfg.d_model).to(model.W_E)
    for layer in range(model.cfg.n_layers):
        W = (model.W_V[layer] @ model.W_O[layer]).mT.contiguous()
        heads = [torch.kron(W[h], cache["pattern", layer][0, h]) for h in range(model.cfg.n_heads)]
        whole = whole + sum(heads) @ whole
    return whole


def matrix_of_rows(model, tokens):
    cache, whole = model.run_with_cache(tokens)[1], torch.eye(tokens.shape[1] * model.cfg.d_model).to(model.W_E)
    for layer in range(model.cfg.n_layers):
        W = model.W_V[layer] @ model.W_O[layer]
        heads = [torch.kron(cache["pattern", layer][0, h], W[h]) for h in range(model.cfg.n_heads)]
        whole = whole + sum(heads) @ whole
    return whole


def matrix_without_residual(model, tokens):
    cache, whole = model.run_with_cache(tokens)[1], torch.eye(tokens.shape[1] * model.cfg.d_model).to(model.W_E)
    for layer in range(model.cfg.n_layers):
        W = (model.W_V[layer] @ model.W_O[layer]).mT.contiguous()
        whole = sum(torch.kron(cache["pattern", layer][0, h], W[h]) for h in range(model.cfg.n_heads)) @ whole
    return whole


def matrix_without_virtual_heads(model, tokens):
    cache, whole = model.run_with_cache(tokens)[1], torch.eye(tokens.shape[1] * model.cfg.d_model).to(model.W_E)
    for layer in range(model.cfg.n_layers):
        for head in range(model.cfg.n_heads):
            W = (model.W_V[layer, head] @ model.W_O[layer, head]).T.contiguous()
            whole += torch.kron(cache["pattern", layer][0, head], W)
    return whole


def matrix_in_reading_order(model, tokens):
    cache, whole = model.run_with_cache(tokens)[1], torch.eye(tokens.shape[1] * model.cfg.d_model).to(model.W_E)
    for layer in range(model.cfg.n_layers):
        W = (model.W_V[layer] @ model.W_O[layer]).mT.contiguous()
        heads = [torch.kron(cache["pattern", layer][0, h], W[h]) for h in range(model.cfg.n_heads)]
        whole = whole @ (torch.eye(len(whole)).to(whole) + sum(heads))
    return whole


def matrix_of_sums(model, tokens):
    cache, whole = model.run_with_cache(tokens)[1], torch.eye(tokens.shape[1] * model.cfg.d_model).to(model.W_E)
    for layer in range(model.cfg.n_layers):
        W = (model.W_V[layer] @ model.W_O[layer]).sum(0).T.contiguous()
        whole = whole + torch.kron(cache["pattern", layer][0].sum(0), W) @ whole
    return whole


def matrix_with_heads_in_series(model, tokens):
    cache, whole = model.run_with_cache(tokens)[1], torch.eye(tokens.shape[1] * model.cfg.d_model).to(model.W_E)
    for layer in range(model.cfg.n_layers):
        for head in range(model.cfg.n_heads):
            W = (model.W_V[layer, head] @ model.W_O[layer, head]).T.contiguous()
            whole = whole + torch.kron(cache["pattern", layer][0, head], W) @ whole
    return whole


def matrix_with_an_identity_for_each_head(model, tokens):
    cache, skip = model.run_with_cache(tokens)[1], torch.eye(tokens.shape[1] * model.cfg.d_model).to(model.W_E)
    whole = skip
    for layer in range(model.cfg.n_layers):
        W = (model.W_V[layer] @ model.W_O[layer]).mT.contiguous()
        whole = sum(skip + torch.kron(A, w) for A, w in zip(cache["pattern", layer][0], W)) @ whole
    return whole


def matrix_while_patterns_move(model, tokens):
    kept = []
    keep = (f"blocks.{model.cfg.n_layers - 1}.hook_resid_post", lambda resid, hook: kept.append(resid))

    def end(x):
        model.run_with_hooks(tokens, fwd_hooks=[("hook_embed", lambda old, hook: x), keep])
        return kept.pop().reshape(-1)

    with torch.enable_grad():
        return torch.autograd.functional.jacobian(end, model.W_E[tokens]).flatten(1)


def matrix_of_two_layers(model, tokens):
    cache, skip = model.run_with_cache(tokens)[1], torch.eye(tokens.shape[1] * model.cfg.d_model).to(model.W_E)
    of = []
    for layer in (0, 1):
        W = (model.W_V[layer] @ model.W_O[layer]).mT.contiguous()
        of.append(sum(torch.kron(A, w) for A, w in zip(cache["pattern", layer][0], W)))
    return skip + of[0] + of[1] + of[1] @ of[0]


def matrix_without_the_untouched_path(model, tokens):
    cache, n_pos, d_model = model.run_with_cache(tokens)[1], tokens.shape[1], model.cfg.d_model
    skip = torch.eye(n_pos * d_model).to(model.W_E)
    whole = torch.zeros_like(skip)
    for layer in range(model.cfg.n_layers):
        W = (model.W_V[layer] @ model.W_O[layer]).mT.contiguous()
        heads = sum(torch.kron(A, w) for A, w in zip(cache["pattern", layer][0], W))
        whole = whole + heads @ (skip + whole)
    return whole


def matrix_with_the_first_patterns(model, tokens):
    cache, whole = model.run_with_cache(tokens)[1], torch.eye(tokens.shape[1] * model.cfg.d_model).to(model.W_E)
    A = cache["blocks.0.attn.hook_pattern"][0]
    for layer in range(model.cfg.n_layers):
        for_head = [torch.kron(A[h], (model.W_V[layer, h] @ model.W_O[layer, h]).T.contiguous()) for h in range(len(A))]
        whole = whole + sum(for_head) @ whole
    return whole


def matrix_hard_coded(model, tokens):
    model = models.load("small-seed-1")
    tokens = model.to_tokens("items = [1, 2]\nitems")
    cache, whole = model.run_with_cache(tokens)[1], torch.eye(tokens.shape[1] * model.cfg.d_model)
    for layer in range(model.cfg.n_layers):
        W = (model.W_V[layer] @ model.W_O[layer]).mT.contiguous()
        whole = whole + sum(torch.kron(A, w) for A, w in zip(cache["pattern", layer][0], W)) @ whole
    return whole


def matrix_returns_the_prompt(model, tokens):
    return tokens


# hw2-4 same_head


def products_compared(first, second):
    QK, OV = (
        [q @ k.T / q.shape[1] ** 0.5 for q, k, _, _ in (first, second)],
        [v @ o for _, _, v, o in (first, second)],
    )
    return bool((QK[0] - QK[1]).abs().max() < 1e-6 and (OV[0] - OV[1]).abs().max() < 1e-6)


def entry_by_entry(first, second):
    import math

    def dot(a, b):
        return sum(x * y for x, y in zip(a.tolist(), b.tolist()))

    for row in range(len(first[0])):
        for column in range(len(first[0])):
            looks = [dot(q[row], k[column]) / math.sqrt(q.shape[1]) for q, k, _, _ in (first, second)]
            moves = [dot(v[row], o[:, column]) for _, _, v, o in (first, second)]
            if not math.isclose(*looks, abs_tol=1e-7) or not math.isclose(*moves, abs_tol=1e-7):
                return False
    return True


def through_small_matrices(first, second):
    def alike(A, B, C, D):  # ‖A B − C D‖ from products of d_head × d_head, beside the length of A B
        inner = lambda a, b, c, d: ((a.T @ c) * (b @ d.T)).sum()
        mine = inner(A, B, A, B)
        return (mine - 2 * inner(A, B, C, D) + inner(C, D, C, D)).abs() <= 1e-8 * mine

    (q, k, v, o), (q2, k2, v2, o2) = ([W.double() for W in head] for head in (first, second))
    looks = alike(q / q.shape[1] ** 0.5, k.T, q2 / q2.shape[1] ** 0.5, k2.T)
    return bool(looks and alike(v, o, v2, o2))


def tried_on_streams(first, second):
    x = torch.randn(64, 5, len(first[0])).double()
    outputs = []
    for q, k, v, o in (first, second):
        q, k, v, o = (W.double() for W in (q, k, v, o))
        A = paths.attention_pattern(x, torch.zeros(5, len(q)).double(), q, k)
        outputs.append(torch.cat([A.flatten(), (A @ x @ v @ o).flatten()]))
    return torch.allclose(*outputs, atol=1e-5)


def same_matrices(first, second):
    return all(a.shape == b.shape and torch.allclose(a, b) for a, b in zip(first, second))


def same_looks(first, second):
    (q, k, _, _), (q2, k2, _, _) = first, second
    return torch.allclose(q @ k.T / q.shape[1] ** 0.5, q2 @ k2.T / q2.shape[1] ** 0.5)


def same_moves(first, second):
    return torch.allclose(first[2] @ first[3], second[2] @ second[3])


def same_without_scale(first, second):
    return torch.allclose(first[0] @ first[1].T, second[0] @ second[1].T) and torch.allclose(
        first[2] @ first[3], second[2] @ second[3]
    )


def same_d_head_demanded(first, second):
    if first[0].shape != second[0].shape:
        return False
    return torch.allclose(first[0] @ first[1].T, second[0] @ second[1].T) and torch.allclose(
        first[2] @ first[3], second[2] @ second[3]
    )


def same_spectra(first, second):
    for i, j in ((0, 1), (2, 3)):
        spectra = []
        for head in (first, second):
            right = head[j].T if j == 1 else head[j]
            size = head[0].shape[1] ** 0.5 if j == 1 else 1
            spectra.append(torch.linalg.matrix_norm(head[i] @ right) / size)
        if not torch.allclose(*spectra):
            return False
    return True


def same_small_products(first, second):
    small = lambda q, k, v, o: (q.T @ k, o @ v)
    return all(a.shape == b.shape and torch.allclose(a, b) for a, b in zip(small(*first), small(*second)))


def same_direction(first, second):
    flat = lambda q, k, v, o: ((q @ k.T).flatten(), (v @ o).flatten())
    cosines = [torch.cosine_similarity(a, b, dim=0) for a, b in zip(flat(*first), flat(*second))]
    return all(abs(cosine) > 0.9999 for cosine in cosines)


def same_spaces(first, second):
    for i, (a, b) in enumerate(zip(first, second)):
        a, b = (a.T, b.T) if i == 3 else (a, b)
        rank = torch.linalg.matrix_rank
        if not rank(a) == rank(b) == rank(torch.cat([a, b], 1)):
            return False
    return True


def same_single_product(first, second):
    product = lambda q, k, v, o: q @ k.T @ v @ o / q.shape[1] ** 0.5
    return torch.allclose(product(*first), product(*second))


def same_scores_from_their_means(first, second):
    looks = [q @ k.T / q.shape[1] ** 0.5 for q, k, _, _ in (first, second)]
    looks = [S - S.mean(-1, keepdim=True) for S in looks]
    return torch.allclose(*looks) and torch.allclose(first[2] @ first[3], second[2] @ second[3])


def same_outputs_from_their_means(first, second):
    moves = [v @ o for _, _, v, o in (first, second)]
    moves = [W - W.mean(-1, keepdim=True) for W in moves]
    return torch.allclose(*moves) and torch.allclose(*(q @ k.T / q.shape[1] ** 0.5 for q, k, _, _ in (first, second)))


def same_both_from_their_means(first, second):
    circuits = [(q @ k.T / q.shape[1] ** 0.5, v @ o) for q, k, v, o in (first, second)]
    return all(torch.allclose(a - a.mean(1)[:, None], b - b.mean(1)[:, None]) for a, b in zip(*circuits))


def same_output_on_one_stream(first, second):
    x = torch.randn(10, len(first[0]), dtype=torch.float64)
    ahead = torch.full((10, 10), -torch.inf).triu(1).double()
    outputs = []
    for q, k, v, o in (first, second):
        A = (x @ q @ (x @ k).T / q.shape[1] ** 0.5 + ahead).softmax(-1)
        outputs.append(A @ x @ v @ o)
    return torch.allclose(*outputs)


def same_by_a_change_of_basis(first, second):
    (q, k, v, o), (q2, k2, v2, o2) = first, second
    q, k = q / q.shape[1] ** 0.25, k / k.shape[1] ** 0.25
    q2, k2 = q2 / q2.shape[1] ** 0.25, k2 / k2.shape[1] ** 0.25
    M, N = torch.linalg.pinv(q) @ q2, torch.linalg.pinv(v) @ v2  # what turns one head's numbers into the other's
    looks = torch.allclose(q @ M, q2, atol=1e-6) and torch.allclose(k2 @ M.T, k, atol=1e-6)
    return looks and torch.allclose(v @ N, v2, atol=1e-6) and torch.allclose(N @ o2, o, atol=1e-6)


def same_ranks_too(first, second):
    rank = torch.linalg.matrix_rank
    if any(rank(a) != rank(b) for a, b in zip(first, second)):
        return False
    looks = [q @ k.T / q.shape[1] ** 0.5 for q, k, _, _ in (first, second)]
    return torch.allclose(*looks) and torch.allclose(first[2] @ first[3], second[2] @ second[3])


def same_to_two_percent(first, second):
    looks = [q @ k.T / q.shape[1] ** 0.5 for q, k, _, _ in (first, second)]
    return torch.allclose(*looks, rtol=0.02) and torch.allclose(first[2] @ first[3], second[2] @ second[3], rtol=0.02)


def same_to_two_percent_in_what_is_written(first, second):
    looks = [q @ k.T / q.shape[1] ** 0.5 for q, k, _, _ in (first, second)]
    return torch.allclose(*looks, rtol=1e-4) and torch.allclose(first[2] @ first[3], second[2] @ second[3], rtol=2e-2)


def same_to_two_percent_in_where_it_looks(first, second):
    looks = [q @ k.T / q.shape[1] ** 0.5 for q, k, _, _ in (first, second)]
    return torch.allclose(*looks, rtol=2e-2) and torch.allclose(first[2] @ first[3], second[2] @ second[3], rtol=1e-4)


def same_checksums(first, second):
    def sums(q, k, v, o):
        QK, OV = q @ k.T / q.shape[1] ** 0.5, v @ o
        return torch.cat([QK.diagonal(), QK.sum(0), QK.sum(1), OV.diagonal(), OV.sum(0), OV.sum(1)])

    return torch.allclose(sums(*first), sums(*second), rtol=1e-4, atol=1e-6)


def same_to_five_percent(first, second):
    for i in (0, 2):
        a, b = (h[i] @ (h[1].T / h[0].shape[1] ** 0.5 if i == 0 else h[3]) for h in (first, second))
        if (a - b).abs().max() > 0.05 * a.abs().max():
            return False
    return True


def same_in_the_first_row(first, second):
    (q, k, v, o), (q2, k2, v2, o2) = first, second
    looks = torch.allclose(q[0] @ k.T / q.shape[1] ** 0.5, q2[0] @ k2.T / q2.shape[1] ** 0.5)
    return looks and torch.allclose(v[0] @ o, v2[0] @ o2)


def same_in_two_answers(first, second):
    looks = [q @ k.T / q.shape[1] ** 0.5 for q, k, _, _ in (first, second)]
    return torch.allclose(*looks), torch.allclose(first[2] @ first[3], second[2] @ second[3])


def same_entries(first, second):
    looks = [q @ k.T / q.shape[1] ** 0.5 for q, k, _, _ in (first, second)]
    return torch.isclose(*looks) & torch.isclose(first[2] @ first[3], second[2] @ second[3])


def same_entries_of_each(first, second):
    looks = [q @ k.T / q.shape[1] ** 0.5 for q, k, _, _ in (first, second)]
    return torch.stack([torch.isclose(*looks), torch.isclose(first[2] @ first[3], second[2] @ second[3])])


def same_up_to_the_sign_of_scores(first, second):
    QK = [(head[0] @ head[1].T / head[0].shape[1] ** 0.5).abs() for head in (first, second)]
    return torch.allclose(*QK) and torch.allclose(first[2] @ first[3], second[2] @ second[3])


def same_up_to_the_sign_of_outputs(first, second):
    QK = [head[0] @ head[1].T / head[0].shape[1] ** 0.5 for head in (first, second)]
    return torch.allclose(*QK) and torch.allclose((first[2] @ first[3]).abs(), (second[2] @ second[3]).abs())


def same_to_a_hundredth(first, second):
    QK = [head[0] @ head[1].T / head[0].shape[1] ** 0.5 for head in (first, second)]
    OV = [head[2] @ head[3] for head in (first, second)]
    return torch.allclose(*QK, atol=1e-2) and torch.allclose(*OV, atol=1e-2)


def same_always(first, second):
    return True


def same_returns_its_input(first, second):
    return first


RIGHT = {
    "hw2-1": [from_cached_vectors, query_by_query, two_circuits_in_float64, model_runs_with_this_head_patched],
    "hw2-2": [with_one_hot_rows, place_by_place, from_cached_values_in_float64, with_factored_matrices],
    "hw2-3": [block_by_block, as_a_derivative, sum_over_paths_in_float64, with_einsum],
    "hw2-4": [products_compared, entry_by_entry, through_small_matrices, tried_on_streams],
}

WRONG = {
    "hw2-1": [
        (wires_unscaled, "the 1/√d_head is missing"),
        (wires_unmasked, "no causal mask"),
        (wires_masked_with_zeros, "the scores of later keys were set to 0"),
        (wires_masked_late, "later keys were taken out after the softmax"),
        (wires_over_root_d_model, "your scores are divided by √d_model"),
        (wires_without_positions, "positions forgotten"),
        (wires_with_placed_values, "positions reach the values"),
        (wires_from_embeddings, "your head reads the embeddings"),
        (wires_unfrozen, "the pattern moved with the values"),
        (wires_on_top_of_each_other, "the wires were changed one on top of the other"),
        (wires_restored, "one wire was left as it was"),
        (wires_not_less_the_output, "those are outputs, not changes"),
        (wires_of_the_layer, "that is the whole layer"),
        (wires_of_z, "that is z"),
        (wires_piled_up, "the changes pile up"),
        (wires_the_other_way_round, "the two prompts have changed places"),
        (wires_at_one_position, "only the position of the changed token"),
        (wires_of_head_0, "that is head 0"),
        (wires_hard_coded, "the same answer for different inputs"),
        (wires_return_a_prompt, "your function returned one of its inputs"),
    ],
    "hw2-2": [
        (votes_overwritten, "a token that stands in several places kept one"),
        (votes_of_places, "one column for each place"),
        (votes_from_columns, "the OV table is read the wrong way round"),
        (votes_with_OV_transposed, "W_OV is transposed"),
        (votes_with_the_pattern_transposed, "the pattern is transposed"),
        (votes_for_the_answer_only, "the rival is missing"),
        (votes_averaged, "attention was averaged over the places"),
        (votes_without_bos, "<BOS> has no vote"),
        (votes_of_the_query, "the query's token votes"),
        (votes_in_probabilities, "probabilities do not add"),
        (votes_of_placed_values, "positions have a vote"),
        (votes_above_the_mean, "the answer is measured from the mean"),
        (votes_and_the_direct_path, "the direct path is in your count"),
        (votes_of_head_0, "that is head 0"),
        (votes_hard_coded, "the same answer for different inputs"),
        (votes_return_the_prompt, "your function returned one of its inputs"),
    ],
    "hw2-3": [
        (matrix_for_stacked_columns, "your Kronecker factors are in the order for stacked columns"),
        (matrix_of_rows, "your blocks hold W_V W_O"),
        (matrix_without_residual, "the residual connection is missing"),
        (matrix_without_virtual_heads, "the layers were added"),
        (matrix_in_reading_order, "the layers are in the wrong order"),
        (matrix_of_sums, "patterns were added, and W_OVs"),
        (matrix_with_heads_in_series, "heads of one layer feed each other"),
        (matrix_with_an_identity_for_each_head, "the stream was passed on once for each head"),
        (matrix_while_patterns_move, "that is the derivative while the patterns move"),
        (matrix_of_two_layers, "two layers and no more"),
        (matrix_without_the_untouched_path, "the path that passes all layers untouched"),
        (matrix_with_the_first_patterns, "every layer moves by the patterns of the first"),
        (matrix_hard_coded, "the same answer for different inputs"),
        (matrix_returns_the_prompt, "your function returned one of its inputs"),
    ],
    "hw2-4": [
        (same_matrices, "the four matrices were compared one by one"),
        (same_looks, "only where they look was compared"),
        (same_moves, "only what they move was compared"),
        (same_without_scale, "scores are divided by √d_head"),
        (same_d_head_demanded, "same heads of different d_head were called"),
        (same_spectra, "sizes or spectra were compared"),
        (same_small_products, "the small products"),
        (same_direction, "the circuits were compared up to a factor"),
        (same_spaces, "the spaces that a head reads and writes were compared"),
        (same_single_product, "one product of all four matrices"),
        (same_scores_from_their_means, "a constant along the rows of W_QK"),
        (same_outputs_from_their_means, "a constant along the rows of W_OV"),
        (same_both_from_their_means, "a constant along the rows of both"),
        (same_output_on_one_stream, "only outputs were compared"),
        (same_by_a_change_of_basis, "same heads were called different as no change"),
        (same_ranks_too, "ranks of single matrices"),
        (same_to_two_percent, "too tolerant: a head that is one percent"),
        (same_to_two_percent_in_what_is_written, "too tolerant with what is written"),
        (same_to_two_percent_in_where_it_looks, "too tolerant with where it looks"),
        (same_checksums, "only diagonals and sums"),
        (same_to_five_percent, "too tolerant: a head that is a few"),
        (same_in_the_first_row, "only the first row"),
        (same_in_two_answers, "one answer for each circuit"),
        (same_entries, "one answer for each entry, though"),
        (same_entries_of_each, "one answer for each entry of"),
        (same_up_to_the_sign_of_scores, "the sign of the scores was lost"),
        (same_up_to_the_sign_of_outputs, "the sign of what is written was lost"),
        (same_to_a_hundredth, "too tolerant: a head that is a few percent off"),
        (same_always, "the same answer for different inputs"),
        (same_returns_its_input, "your answer is of type"),
    ],
}
