"""Answers to homework 1, as students might write them: right ones by many roads, and wrong ones with what each hears.

Every answer stands on its own: its source is put into a notebook in place of the answer cell.
"""

# ruff: noqa: F401, I001 (the imports of the notebook's set-up cell, all of them)
import matplotlib.pyplot as plt
import torch
from jaxtyping import Float, Int
from torch import Tensor
from walkthrough import behaviour, bigrams, circuits, corpus, models
from walkthrough.exercises.check import as_tensor

# hw1-1 credit: right


def credit_from_attention_outputs(model, tokens):
    _, cache = model.run_with_cache(tokens)
    writers = [cache["hook_embed"]] + [cache[f"blocks.{i}.hook_attn_out"] for i in range(model.cfg.n_layers)]
    logits = torch.stack(writers)[:, :, :-1] @ model.W_U
    logits = logits - logits.mean(-1, keepdim=True)
    index = tokens[None, :, 1:, None].expand(len(writers), -1, -1, -1)
    return logits.gather(-1, index)[..., 0]


def credit_from_the_package(model, tokens):
    from walkthrough import paths

    _, cache = model.run_with_cache(tokens)
    parts = paths.stream_parts(cache, model.W_O)
    n = model.cfg.n_heads
    answer = []
    for chosen in [parts[:1], *(parts[1 + i * n : 1 + (i + 1) * n] for i in range(model.cfg.n_layers))]:
        logits = chosen.sum(0) @ model.W_U
        rows = []
        for prompt, row in zip(tokens, logits):
            rows.append([row[i, prompt[i + 1]].item() - row[i].mean().item() for i in range(len(prompt) - 1)])
        answer.append(rows)
    return answer


def credit_from_logit_lenses(model, tokens):
    import torch.nn.functional as F

    seen = []
    keep = lambda resid, hook: seen.append(resid.clone())
    names = ["hook_embed", *(f"blocks.{i}.hook_resid_post" for i in range(model.cfg.n_layers))]
    model.run_with_hooks(tokens, fwd_hooks=[(name, keep) for name in names])
    one_hot = F.one_hot(tokens[:, 1:], model.cfg.d_vocab).to(model.W_U) - 1 / model.cfg.d_vocab
    lens = torch.stack([((resid @ model.W_U)[:, :-1] * one_hot).sum(-1) for resid in seen])
    return torch.cat([lens[:1], lens[1:] - lens[:-1]])


def credit_by_hand_in_float64(model, tokens):
    W_E, W_U = model.W_E.double(), model.W_U.double()
    W_U = W_U - W_U.mean(1)[:, None]
    n_pos = tokens.shape[1]
    positions = model.W_pos[:n_pos].double()
    answer = torch.zeros(1 + model.cfg.n_layers, len(tokens), n_pos - 1, dtype=torch.float64)
    for b, prompt in enumerate(tokens):
        resid = W_E[prompt]
        for writer in range(1 + model.cfg.n_layers):
            added = resid if writer == 0 else torch.zeros_like(resid)
            for head in range(model.cfg.n_heads if writer else 0):
                Q, K, V, O = (getattr(model, f"W_{x}")[writer - 1, head].double() for x in "QKVO")
                scores = (resid + positions) @ Q @ ((resid + positions) @ K).T / model.cfg.d_head**0.5
                scores = scores.masked_fill(torch.ones(n_pos, n_pos).triu(1).bool(), float("-inf"))
                added = added + scores.softmax(-1) @ resid @ V @ O
            if writer:
                resid = resid + added
            for i in range(n_pos - 1):
                answer[writer, b, i] = added[i] @ W_U[:, prompt[i + 1]]
    return answer


# hw1-1 credit: wrong


def credit_of_streams(model, tokens):
    _, cache = model.run_with_cache(tokens)
    streams = [cache["hook_embed"]] + [cache[f"blocks.{i}.hook_resid_post"] for i in range(model.cfg.n_layers)]
    W_U = model.W_U - model.W_U.mean(-1, keepdim=True)
    logits = torch.stack(streams)[:, :, :-1] @ W_U
    return logits.gather(-1, tokens[None, :, 1:, None].expand(len(streams), -1, -1, -1))[..., 0]


def credit_of_layers_only(model, tokens):
    _, cache = model.run_with_cache(tokens)
    writers = torch.stack([cache[f"blocks.{i}.hook_attn_out"] for i in range(model.cfg.n_layers)])
    W_U = model.W_U - model.W_U.mean(-1, keepdim=True)
    return (writers[:, :, :-1] * W_U.T[tokens[:, 1:]]).sum(-1)


def credit_not_centred(model, tokens):
    _, cache = model.run_with_cache(tokens)
    writers = [cache["hook_embed"]] + [cache[f"blocks.{i}.hook_attn_out"] for i in range(model.cfg.n_layers)]
    return torch.stack([(w[:, :-1] * model.W_U.T[tokens[:, 1:]]).sum(-1) for w in writers])


def credit_centred_along_the_stream(model, tokens):
    _, cache = model.run_with_cache(tokens)
    writers = [cache["hook_embed"]] + [cache[f"blocks.{i}.hook_attn_out"] for i in range(model.cfg.n_layers)]
    W_U = model.W_U - model.W_U.mean(0, keepdim=True)
    return torch.stack([(w[:, :-1] * W_U.T[tokens[:, 1:]]).sum(-1) for w in writers])


def credit_of_the_token_read(model, tokens):
    _, cache = model.run_with_cache(tokens)
    writers = [cache["hook_embed"]] + [cache[f"blocks.{i}.hook_attn_out"] for i in range(model.cfg.n_layers)]
    W_U = model.W_U - model.W_U.mean(-1, keepdim=True)
    return torch.stack([(w * W_U.T[tokens]).sum(-1)[:, :-1] for w in writers])


def credit_one_position_late(model, tokens):
    _, cache = model.run_with_cache(tokens)
    writers = [cache["hook_embed"]] + [cache[f"blocks.{i}.hook_attn_out"] for i in range(model.cfg.n_layers)]
    W_U = model.W_U - model.W_U.mean(-1, keepdim=True)
    return torch.stack([(w[:, 1:] * W_U.T[tokens[:, 1:]]).sum(-1) for w in writers])


def credit_with_positions(model, tokens):
    _, cache = model.run_with_cache(tokens)
    writers = [model.W_E[tokens] + model.W_pos[: tokens.shape[1]]]
    writers += [cache[f"blocks.{i}.hook_attn_out"] for i in range(model.cfg.n_layers)]
    W_U = model.W_U - model.W_U.mean(-1, keepdim=True)
    return torch.stack([(w[:, :-1] * W_U.T[tokens[:, 1:]]).sum(-1) for w in writers])


def credit_in_log_probabilities(model, tokens):
    _, cache = model.run_with_cache(tokens)
    writers = [cache["hook_embed"]] + [cache[f"blocks.{i}.hook_attn_out"] for i in range(model.cfg.n_layers)]
    log_probs = (torch.stack(writers)[:, :, :-1] @ model.W_U).log_softmax(-1)
    return log_probs.gather(-1, tokens[None, :, 1:, None].expand(len(writers), -1, -1, -1))[..., 0]


def credit_of_each_head(model, tokens):
    from walkthrough import paths

    _, cache = model.run_with_cache(tokens)
    W_U = model.W_U - model.W_U.mean(-1, keepdim=True)
    return torch.stack([(w[:, :-1] * W_U.T[tokens[:, 1:]]).sum(-1) for w in paths.stream_parts(cache, model.W_O)])


def credit_by_deleting(model, tokens):
    whole, answer = model(tokens), []
    for name in ["hook_embed"] + [f"blocks.{i}.hook_attn_out" for i in range(model.cfg.n_layers)]:
        without = model.run_with_hooks(tokens, fwd_hooks=[(name, lambda x, hook: torch.zeros_like(x))])
        lost = whole - without
        lost = lost - lost.mean(-1, keepdim=True)
        answer.append(lost[:, :-1].gather(-1, tokens[:, 1:, None])[..., 0])
    return torch.stack(answer)


def credit_from_resid_pre(model, tokens):
    _, cache = model.run_with_cache(tokens)
    streams = [cache["hook_embed"]] + [cache[f"blocks.{i}.hook_resid_pre"] for i in range(model.cfg.n_layers)]
    streams = torch.stack(streams)
    writers = torch.cat([streams[:1], streams[1:] - streams[:-1]])
    W_U = model.W_U - model.W_U.mean(-1, keepdim=True)
    return torch.stack([(w[:, :-1] * W_U.T[tokens[:, 1:]]).sum(-1) for w in writers])


def credit_batch_first(model, tokens):
    _, cache = model.run_with_cache(tokens)
    writers = [cache["hook_embed"]] + [cache[f"blocks.{i}.hook_attn_out"] for i in range(model.cfg.n_layers)]
    W_U = model.W_U - model.W_U.mean(-1, keepdim=True)
    return torch.stack([(w[:, :-1] * W_U.T[tokens[:, 1:]]).sum(-1) for w in writers], dim=1)


def credit_averaged(model, tokens):
    _, cache = model.run_with_cache(tokens)
    writers = [cache["hook_embed"]] + [cache[f"blocks.{i}.hook_attn_out"] for i in range(model.cfg.n_layers)]
    W_U = model.W_U - model.W_U.mean(-1, keepdim=True)
    return torch.stack([(w[:, :-1] * W_U.T[tokens[:, 1:]]).sum(-1).mean(-1) for w in writers])


def credit_of_all_tokens(model, tokens):
    _, cache = model.run_with_cache(tokens)
    writers = [cache["hook_embed"]] + [cache[f"blocks.{i}.hook_attn_out"] for i in range(model.cfg.n_layers)]
    return torch.stack(writers)[:, :, :-1] @ (model.W_U - model.W_U.mean(-1, keepdim=True))


def credit_centred_in_part(model, tokens):
    _, cache = model.run_with_cache(tokens)
    parts = [cache["hook_embed"] @ model.W_U]
    parts[0] = parts[0] - parts[0].mean(-1, keepdim=True)
    parts += [cache[f"blocks.{i}.hook_attn_out"] @ model.W_U for i in range(model.cfg.n_layers)]
    return torch.stack([x[:, :-1].gather(-1, tokens[:, 1:, None])[..., 0] for x in parts])


def credit_by_deleting_layers(model, tokens):
    W_U = model.W_U - model.W_U.mean(-1, keepdim=True)
    whole, answer = model(tokens), [(model.W_E[tokens[:, :-1]] * W_U.T[tokens[:, 1:]]).sum(-1)]
    for i in range(model.cfg.n_layers):
        hooks = [(f"blocks.{i}.hook_attn_out", lambda x, hook: torch.zeros_like(x))]
        lost = whole - model.run_with_hooks(tokens, fwd_hooks=hooks)
        lost = (lost - lost.mean(-1, keepdim=True))[:, :-1]
        answer.append(lost.gather(-1, tokens[:, 1:, None])[..., 0])
    return torch.stack(answer)


def credit_at_first_places(model, tokens):
    _, cache = model.run_with_cache(tokens)
    parts = [cache["hook_embed"]] + [cache[f"blocks.{i}.hook_attn_out"] for i in range(model.cfg.n_layers)]
    logits = torch.stack(parts) @ model.W_U
    logits = logits - logits.mean(-1, keepdim=True)
    answer = torch.zeros(len(parts), len(tokens), tokens.shape[1] - 1)
    for b, prompt in enumerate(tokens.tolist()):
        for i, following in enumerate(prompt[1:]):
            answer[:, b, i] = logits[:, b, prompt.index(following) - 1, following]
    return answer


def credit_of_the_example(model, tokens):
    model, tokens = models.tiny(2, seed=1), torch.tensor([[0, 9, 4, 4, 31], [0, 7, 60, 2, 2]])
    _, cache = model.run_with_cache(tokens)
    writers = [cache["hook_embed"]] + [cache[f"blocks.{i}.hook_attn_out"] for i in range(2)]
    W_U = model.W_U - model.W_U.mean(-1, keepdim=True)
    return torch.stack([(w[:, :-1] * W_U.T[tokens[:, 1:]]).sum(-1) for w in writers])


def credit_is_the_tokens(model, tokens):
    return tokens


# hw1-2 in_new_basis: right


def basis_by_pseudoinverse(W_E, W_E_new, W_QK, W_OV):
    there, back = torch.linalg.pinv(W_E) @ W_E_new, torch.linalg.pinv(W_E_new) @ W_E
    return torch.stack([back @ W_QK @ back.mT, back @ W_OV @ there])


def basis_by_normal_equations(W_E, W_E_new, W_QK, W_OV):
    W_E, W_E_new, W_QK, W_OV = (x.double() for x in (W_E, W_E_new, W_QK, W_OV))
    M = torch.linalg.solve(W_E.T @ W_E, W_E.T @ W_E_new)
    new_QK = torch.linalg.solve(M, torch.linalg.solve(M, W_QK.T).T)
    new_OV = torch.linalg.solve(M, W_OV) @ M
    return new_QK, new_OV


def basis_by_lstsq_and_inv(W_E, W_E_new, W_QK, W_OV):
    M = torch.linalg.lstsq(W_E, W_E_new).solution
    back = torch.linalg.inv(M)
    return back @ W_QK @ back.T, back @ W_OV @ M


def basis_from_token_tables(W_E, W_E_new, W_QK, W_OV):
    scores, written = W_E @ W_QK @ W_E.T, W_E @ W_OV
    written_new = written @ torch.linalg.lstsq(W_E, W_E_new).solution
    half = torch.linalg.lstsq(W_E_new, scores).solution  # read key
    new_QK = torch.linalg.lstsq(W_E_new, half.T).solution.T
    return [new_QK, torch.linalg.lstsq(W_E_new, written_new).solution]


def basis_from_as_many_tokens_as_dimensions(W_E, W_E_new, W_QK, W_OV):
    n = W_E.shape[1]
    Q = torch.linalg.qr(W_E_new.double()).Q
    few, few_new = Q.T @ W_E.double(), Q.T @ W_E_new.double()  # n mixtures of tokens, in both bases
    back = torch.linalg.inv(few_new) @ few
    there = torch.linalg.inv(few) @ few_new
    new_QK, new_OV = torch.zeros(n, n, dtype=torch.float64), torch.zeros(n, n, dtype=torch.float64)
    for i in range(n):
        new_OV[i] = back[i] @ W_OV.double() @ there
        for j in range(n):
            new_QK[i, j] = back[i] @ W_QK.double() @ back[j]
    return new_QK.tolist(), new_OV.tolist()


def basis_by_the_squared_inverse(W_E, W_E_new, W_QK, W_OV):
    M = torch.linalg.lstsq(W_E, W_E_new).solution
    back = torch.linalg.pinv(M.T @ M, hermitian=True) @ M.T
    return back @ W_QK @ back.T, back @ W_OV @ M


# hw1-2 in_new_basis: wrong


def basis_ignored(W_E, W_E_new, W_QK, W_OV):
    return W_QK, W_OV


def basis_turned_as_if_orthogonal(W_E, W_E_new, W_QK, W_OV):
    M = torch.linalg.lstsq(W_E, W_E_new).solution
    return M.T @ W_QK @ M, M.T @ W_OV @ M


def basis_by_procrustes(W_E, W_E_new, W_QK, W_OV):
    U, _, Vh = torch.linalg.svd(W_E.T @ W_E_new)
    R = U @ Vh
    return R.T @ W_QK @ R, R.T @ W_OV @ R


def basis_by_truncated_inverse(W_E, W_E_new, W_QK, W_OV):
    M = torch.linalg.lstsq(W_E, W_E_new).solution
    back = torch.linalg.pinv(M, rtol=0.005)
    return back @ W_QK @ back.T, back @ W_OV @ M


def basis_both_as_maps(W_E, W_E_new, W_QK, W_OV):
    M = torch.linalg.lstsq(W_E, W_E_new).solution
    return torch.linalg.inv(M) @ W_QK @ M, torch.linalg.inv(M) @ W_OV @ M


def basis_both_as_forms(W_E, W_E_new, W_QK, W_OV):
    inverse = torch.linalg.inv(torch.linalg.lstsq(W_E, W_E_new).solution)
    return inverse @ W_QK @ inverse.T, inverse @ W_OV @ inverse.T


def basis_wrong_way_round(W_E, W_E_new, W_QK, W_OV):
    M = torch.linalg.lstsq(W_E_new, W_E).solution
    back = torch.linalg.inv(M)
    return back @ W_QK @ back.T, back @ W_OV @ M


def basis_for_columns(W_E, W_E_new, W_QK, W_OV):
    M = torch.linalg.lstsq(W_E, W_E_new).solution
    back = torch.linalg.inv(M)
    return back @ W_QK @ back.T, M.T @ W_OV @ back.T


def basis_form_pushed_forward(W_E, W_E_new, W_QK, W_OV):
    M = torch.linalg.lstsq(W_E, W_E_new).solution
    return M.T @ W_QK @ M, torch.linalg.inv(M) @ W_OV @ M


def basis_one_side(W_E, W_E_new, W_QK, W_OV):
    back = torch.linalg.inv(torch.linalg.lstsq(W_E, W_E_new).solution)
    return back @ W_QK, back @ W_OV


def basis_values_only(W_E, W_E_new, W_QK, W_OV):
    M = torch.linalg.lstsq(W_E, W_E_new).solution
    return W_QK, torch.linalg.inv(M) @ W_OV @ M


def basis_queries_as_keys(W_E, W_E_new, W_QK, W_OV):
    M = torch.linalg.lstsq(W_E, W_E_new).solution
    back = torch.linalg.inv(M)
    return back @ W_QK.T @ back.T, back @ W_OV @ M


def basis_other_order(W_E, W_E_new, W_QK, W_OV):
    M = torch.linalg.lstsq(W_E, W_E_new).solution
    back = torch.linalg.inv(M)
    return back @ W_OV @ M, back @ W_QK @ back.T


def basis_over_tokens(W_E, W_E_new, W_QK, W_OV):
    return W_E @ W_QK @ W_E.T, W_E @ W_OV @ W_E.T


def basis_OV_wrong_way_round(W_E, W_E_new, W_QK, W_OV):
    M = torch.linalg.lstsq(W_E, W_E_new).solution
    back = torch.linalg.inv(M)
    return back @ W_QK @ back.T, M @ W_OV @ back


def basis_QK_wrong_way_round(W_E, W_E_new, W_QK, W_OV):
    M = torch.linalg.lstsq(W_E, W_E_new).solution
    return M @ W_QK @ M.T, torch.linalg.inv(M) @ W_OV @ M


def basis_OV_writes_as_before(W_E, W_E_new, W_QK, W_OV):
    back = torch.linalg.lstsq(W_E_new, W_E).solution
    return back @ W_QK @ back.T, back @ W_OV


def basis_of_QK_alone(W_E, W_E_new, W_QK, W_OV):
    back = torch.linalg.lstsq(W_E_new, W_E).solution
    return back @ W_QK @ back.T


def basis_of_OV_alone(W_E, W_E_new, W_QK, W_OV):
    M = torch.linalg.lstsq(W_E, W_E_new).solution
    return torch.linalg.inv(M) @ W_OV @ M


def basis_of_the_example(W_E, W_E_new, W_QK, W_OV):
    draw = torch.randn(4, 12, 4, generator=torch.Generator().manual_seed(0))
    M, W_QK, W_OV = draw[1, :4], draw[2, :4], draw[3, :4]
    back = torch.linalg.inv(M)
    return back @ W_QK @ back.T, back @ W_OV @ M


def basis_is_the_embedding(W_E, W_E_new, W_QK, W_OV):
    return W_E_new


# hw1-3 skip_table: right


def table_by_document(text, d_vocab, gap, alpha):
    import itertools

    text = text.tolist()
    starts = [i for i, token in enumerate(text) if token == 0] + [len(text)]
    table = torch.full((d_vocab, d_vocab), float(alpha))
    for start, end in itertools.pairwise(starts):
        document = text[start:end]
        for source, guess in zip(document[:-gap], document[gap:]):
            table[source, guess] += 1
    table[:, 0] = 0
    return table / table.sum(1, keepdim=True)


def table_by_one_hot(text, d_vocab, gap, alpha):
    import torch.nn.functional as F

    vectors = F.one_hot(text, d_vocab).double()
    number = (text == 0).cumsum(0)
    same = (number[:-gap] == number[gap:]).double()
    counts = (vectors[:-gap] * same[:, None]).T @ vectors[gap:]
    possible = torch.ones(d_vocab, dtype=torch.float64)
    possible[0] = 0
    return (counts + alpha * possible) / (counts.sum(1, keepdim=True) + alpha * (d_vocab - 1))


def table_from_a_counter(text, d_vocab, gap, alpha):
    from collections import Counter, deque

    pairs, totals, recent = Counter(), Counter(), deque(maxlen=gap)
    for token in text.tolist():
        if token == 0:
            recent.clear()
        elif len(recent) == gap:
            pairs[recent[0], token] += 1
            totals[recent[0]] += 1
        recent.append(token)
    row = lambda a: [
        0.0 if b == 0 else (pairs[a, b] + alpha) / (totals[a] + alpha * (d_vocab - 1)) for b in range(d_vocab)
    ]
    return [row(a) for a in range(d_vocab)]


def table_from_padded_windows(text, d_vocab, gap, alpha):
    documents = torch.tensor_split(text, torch.nonzero(text == 0)[1:, 0])
    rows = torch.nn.utils.rnn.pad_sequence(list(documents), batch_first=True, padding_value=d_vocab)
    every = corpus.bigram_counts(torch.stack([rows[:, :-gap], rows[:, gap:]], -1).flatten(0, 1), d_vocab + 1)
    counts = every[:d_vocab, 1:d_vocab] + alpha
    return torch.cat([torch.zeros(d_vocab, 1), counts / counts.sum(1, keepdim=True)], 1)


# hw1-3 skip_table: wrong


def table_of_windows(text, d_vocab, gap, alpha):
    counts = corpus.bigram_counts(torch.stack([text[:-gap], text[gap:]], 1), d_vocab) + alpha
    return counts / counts.sum(1, keepdim=True)


def table_across_documents(text, d_vocab, gap, alpha):
    table = torch.full((d_vocab, d_vocab), float(alpha))
    for source, guess in zip(text[:-gap].tolist(), text[gap:].tolist()):
        if guess != 0:
            table[source, guess] += 1
    table[:, 0] = 0
    return table / table.sum(1, keepdim=True)


def table_without_marks(text, d_vocab, gap, alpha):
    text = text[text != 0]
    table = torch.full((d_vocab, d_vocab), float(alpha))
    for source, guess in zip(text[:-gap].tolist(), text[gap:].tolist()):
        table[source, guess] += 1
    table[:, 0] = 0
    return table / table.sum(1, keepdim=True)


def table_one_too_far(text, d_vocab, gap, alpha):
    number, text = (text == 0).cumsum(0).tolist(), text.tolist()
    table = torch.full((d_vocab, d_vocab), float(alpha))
    for i in range(gap + 1, len(text)):
        if number[i] == number[i - gap - 1]:
            table[text[i - gap - 1], text[i]] += 1
    table[:, 0] = 0
    return table / table.sum(1, keepdim=True)


def table_one_too_near(text, d_vocab, gap, alpha):
    number, text = (text == 0).cumsum(0).tolist(), text.tolist()
    table = torch.full((d_vocab, d_vocab), float(alpha))
    for i in range(gap - 1, len(text)):
        if number[i] == number[i - gap + 1] and text[i] != 0:
            table[text[i - gap + 1], text[i]] += 1
    table[:, 0] = 0
    return table / table.sum(1, keepdim=True)


def table_of_all_near_tokens(text, d_vocab, gap, alpha):
    number, text = (text == 0).cumsum(0).tolist(), text.tolist()
    table = torch.full((d_vocab, d_vocab), float(alpha))
    for i in range(len(text)):
        for j in range(max(0, i - gap), i):
            if number[i] == number[j]:
                table[text[j], text[i]] += 1
    table[:, 0] = 0
    return table / table.sum(1, keepdim=True)


def table_without_a_first_row(text, d_vocab, gap, alpha):
    number, text = (text == 0).cumsum(0).tolist(), text.tolist()
    table = torch.full((d_vocab, d_vocab), float(alpha))
    for i in range(gap, len(text)):
        if number[i] == number[i - gap] and text[i - gap] != 0:
            table[text[i - gap], text[i]] += 1
    table[:, 0] = 0
    return table / table.sum(1, keepdim=True)


def table_emptied_too_late(text, d_vocab, gap, alpha):
    number, text = (text == 0).cumsum(0).tolist(), text.tolist()
    table = torch.full((d_vocab, d_vocab), float(alpha))
    for i in range(gap, len(text)):
        if number[i] == number[i - gap]:
            table[text[i - gap], text[i]] += 1
    table = table / table.sum(1, keepdim=True)
    table[:, 0] = 0
    return table


def table_smoothed_everywhere(text, d_vocab, gap, alpha):
    number, text = (text == 0).cumsum(0).tolist(), text.tolist()
    table = torch.full((d_vocab, d_vocab), float(alpha))
    for i in range(gap, len(text)):
        if number[i] == number[i - gap]:
            table[text[i - gap], text[i]] += 1
    return table / table.sum(1, keepdim=True)


def table_transposed(text, d_vocab, gap, alpha):
    number, text = (text == 0).cumsum(0).tolist(), text.tolist()
    table = torch.full((d_vocab, d_vocab), float(alpha))
    for i in range(gap, len(text)):
        if number[i] == number[i - gap]:
            table[text[i], text[i - gap]] += 1
    table[0] = 0
    return table / table.sum(0)


def table_backwards(text, d_vocab, gap, alpha):
    number, text = (text == 0).cumsum(0).tolist(), text.tolist()
    table = torch.full((d_vocab, d_vocab), float(alpha))
    for i in range(gap, len(text)):
        if number[i] == number[i - gap]:
            table[text[i], text[i - gap]] += 1
    table[:, 0] = 0
    return table / table.sum(1, keepdim=True)


def table_columns_sum_to_one(text, d_vocab, gap, alpha):
    number, text = (text == 0).cumsum(0).tolist(), text.tolist()
    table = torch.full((d_vocab, d_vocab), float(alpha))
    for i in range(gap, len(text)):
        if number[i] == number[i - gap]:
            table[text[i - gap], text[i]] += 1
    table[:, 0] = 0
    return table / table.sum(0).clamp_min(1e-9)


def table_of_pairs(text, d_vocab, gap, alpha):
    number, text = (text == 0).cumsum(0).tolist(), text.tolist()
    table = torch.full((d_vocab, d_vocab), float(alpha))
    for i in range(gap, len(text)):
        if number[i] == number[i - gap]:
            table[text[i - gap], text[i]] += 1
    table[:, 0] = 0
    return table / table.sum()


def table_divided_by_too_little(text, d_vocab, gap, alpha):
    number, text = (text == 0).cumsum(0).tolist(), text.tolist()
    counts = torch.zeros(d_vocab, d_vocab)
    for i in range(gap, len(text)):
        if number[i] == number[i - gap]:
            counts[text[i - gap], text[i]] += 1
    table = (counts + alpha) / (counts.sum(1, keepdim=True) + alpha)
    table[:, 0] = 0
    return table


def table_smoothed_late(text, d_vocab, gap, alpha):
    number, text = (text == 0).cumsum(0).tolist(), text.tolist()
    counts = torch.zeros(d_vocab, d_vocab)
    for i in range(gap, len(text)):
        if number[i] == number[i - gap]:
            counts[text[i - gap], text[i]] += 1
    table = bigrams.conditional(counts.long()) + alpha
    table[:, 0] = 0
    return table / table.sum(1, keepdim=True)


def table_not_smoothed(text, d_vocab, gap, alpha):
    number, text = (text == 0).cumsum(0).tolist(), text.tolist()
    counts = torch.zeros(d_vocab, d_vocab).long()
    for i in range(gap, len(text)):
        if number[i] == number[i - gap]:
            counts[text[i - gap], text[i]] += 1
    return bigrams.conditional(counts)


def table_by_rolling(text, d_vocab, gap, alpha):
    number = (text == 0).cumsum(0)
    sources, before = torch.roll(text, gap), torch.roll(number, gap)
    table = torch.full((d_vocab, d_vocab), float(alpha))
    for source, guess in zip(sources[before == number].tolist(), text[before == number].tolist()):
        table[source, guess] += 1
    table[:, 0] = 0
    return table / table.sum(1, keepdim=True)


def table_without_accumulation(text, d_vocab, gap, alpha):
    number = (text == 0).cumsum(0)
    inside = number[:-gap] == number[gap:]
    counts = torch.zeros(d_vocab, d_vocab, dtype=torch.float64)
    counts[text[:-gap][inside], text[gap:][inside]] += 1
    counts += alpha
    counts[:, 0] = 0
    return counts / counts.sum(1, keepdim=True)


def table_without_unseen_rows(text, d_vocab, gap, alpha):
    number, text = (text == 0).cumsum(0).tolist(), text.tolist()
    counts = torch.zeros(d_vocab, d_vocab)
    for i in range(gap, len(text)):
        if number[i] == number[i - gap]:
            counts[text[i - gap], text[i]] += 1
    table = torch.zeros(d_vocab, d_vocab)
    for source in range(d_vocab):
        if counts[source].sum() > 0:
            table[source, 1:] = (counts[source, 1:] + alpha) / (counts[source, 1:] + alpha).sum()
    return table


def table_by_occurrences(text, d_vocab, gap, alpha):
    number, text = (text == 0).cumsum(0).tolist(), text.tolist()
    table = torch.full((d_vocab, d_vocab), float(alpha))
    for i in range(gap, len(text)):
        if number[i] == number[i - gap]:
            table[text[i - gap], text[i]] += 1
    table[:, 0] = 0
    for source in range(d_vocab):
        table[source] /= text.count(source) + alpha * (d_vocab - 1)
    return table


def table_with_alpha_for_each_row(text, d_vocab, gap, alpha):
    number, text = (text == 0).cumsum(0).tolist(), text.tolist()
    table = torch.full((d_vocab, d_vocab), alpha / (d_vocab - 1))
    for i in range(gap, len(text)):
        if number[i] == number[i - gap]:
            table[text[i - gap], text[i]] += 1
    table[:, 0] = 0
    return table / table.sum(1, keepdim=True)


def table_with_alpha_for_the_vocabulary(text, d_vocab, gap, alpha):
    number, text = (text == 0).cumsum(0).tolist(), text.tolist()
    table = torch.full((d_vocab, d_vocab), alpha / d_vocab)
    for i in range(gap, len(text)):
        if number[i] == number[i - gap]:
            table[text[i - gap], text[i]] += 1
    table[:, 0] = 0
    return table / table.sum(1, keepdim=True)


def table_of_logarithms(text, d_vocab, gap, alpha):
    number, text = (text == 0).cumsum(0).tolist(), text.tolist()
    table = torch.full((d_vocab, d_vocab), float(alpha))
    for i in range(gap, len(text)):
        if number[i] == number[i - gap]:
            table[text[i - gap], text[i]] += 1
    table[:, 0] = 0
    return (table / table.sum(1, keepdim=True)).log()


def table_smoothed_where_seen(text, d_vocab, gap, alpha):
    number, words = (text == 0).cumsum(0).tolist(), text.tolist()
    table = torch.zeros(d_vocab, d_vocab)
    table[:, text.unique()] = float(alpha)
    for i in range(gap, len(words)):
        if number[i] == number[i - gap]:
            table[words[i - gap], words[i]] += 1
    table[:, 0] = 0
    return table / table.sum(1, keepdim=True)


def table_up_to_the_last_id(text, d_vocab, gap, alpha):
    number, words = (text == 0).cumsum(0).tolist(), text.tolist()
    table = torch.zeros(d_vocab, d_vocab)
    table[:, : max(words) + 1] = float(alpha)
    for i in range(gap, len(words)):
        if number[i] == number[i - gap]:
            table[words[i - gap], words[i]] += 1
    table[:, 0] = 0
    return table / table.sum(1, keepdim=True)


def table_without_absent_rows(text, d_vocab, gap, alpha):
    number, words = (text == 0).cumsum(0).tolist(), text.tolist()
    table = torch.zeros(d_vocab, d_vocab)
    table[text.unique()] = float(alpha)
    for i in range(gap, len(words)):
        if number[i] == number[i - gap]:
            table[words[i - gap], words[i]] += 1
    table[:, 0] = 0
    return table / table.sum(1, keepdim=True).clamp_min(1e-9)


def table_without_repeats(text, d_vocab, gap, alpha):
    number, words = (text == 0).cumsum(0).tolist(), text.tolist()
    table = torch.full((d_vocab, d_vocab), float(alpha))
    for i in range(gap, len(words)):
        if number[i] == number[i - gap] and words[i] != words[i - gap]:
            table[words[i - gap], words[i]] += 1
    table[:, 0] = 0
    return table / table.sum(1, keepdim=True)


def table_without_the_last_pair(text, d_vocab, gap, alpha):
    number, words = (text == 0).cumsum(0).tolist(), text.tolist()
    table = torch.full((d_vocab, d_vocab), float(alpha))
    for i in range(len(words) - gap - 1):
        if number[i] == number[i + gap]:
            table[words[i], words[i + gap]] += 1
    table[:, 0] = 0
    return table / table.sum(1, keepdim=True)


def table_of_the_example(text, d_vocab, gap, alpha):
    text, number = [0, 1, 2, 1, 2, 3, 0, 3, 1, 0, 2, 2, 1], [1, 1, 1, 1, 1, 1, 2, 2, 2, 3, 3, 3, 3]
    table = torch.full((4, 4), 0.5)
    for i in range(2, len(text)):
        if number[i] == number[i - 2]:
            table[text[i - 2], text[i]] += 1
    table[:, 0] = 0
    return table / table.sum(1, keepdim=True)


def table_is_the_text(text, d_vocab, gap, alpha):
    return text


# hw1-4 log_probs_of_rank: right


def rank_by_eigenvectors(W_E, W_U, share, rank):
    T = (W_E @ W_U).double()
    T = T - T.mean(1, keepdim=True)
    _, vectors = torch.linalg.eigh(T.T @ (share.double()[:, None] * T))
    best = vectors[:, -rank:]
    return (T @ best @ best.T).log_softmax(-1)


def rank_without_the_whole_table(W_E, W_U, share, rank):
    W_U = W_U - W_U.mean(1, keepdim=True)
    _, R = torch.linalg.qr(share[:, None] ** 0.5 * W_E)
    P, L = torch.linalg.qr(W_U.T)
    _, _, Vh = torch.linalg.svd(R @ L.T)
    into = P @ Vh[:rank].T  # d_vocab rank
    new_E, new_U = W_E @ (W_U @ into), into.T
    return bigrams.bigram_log_probs(new_E, new_U)


def rank_by_subspace_iteration(W_E, W_U, share, rank):
    T = [[(row @ W_U[:, b]).item() for b in range(len(W_E))] for row in W_E]
    T = torch.tensor([[x - sum(row) / len(row) for x in row] for row in T], dtype=torch.float64)
    V = torch.randn(len(T), rank, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for _ in range(100):
        V = torch.linalg.qr(T.T @ (share.double()[:, None] * (T @ V))).Q
    rows = [(row - row.logsumexp(0)).tolist() for row in T @ V @ V.T]
    return rows


def rank_by_alternating_least_squares(W_E, W_U, share, rank):
    T = W_E.double() @ W_U.double()
    T = T - T.mean(1, keepdim=True)
    size = share.double()[:, None]
    E = torch.randn(len(T), rank, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for _ in range(80):
        U = torch.linalg.solve(E.T @ (size * E), E.T @ (size * T))
        E = torch.linalg.solve(U @ U.T, U @ T.T).T
    return torch.log((E @ U).softmax(-1))


# hw1-4 log_probs_of_rank: wrong


def rank_of_first_coordinates(W_E, W_U, share, rank):
    return (W_E[:, :rank] @ W_U[:rank]).log_softmax(-1)


def rank_of_largest_coordinates(W_E, W_U, share, rank):
    keep = W_E.var(0).argsort(descending=True)[:rank]
    return (W_E[:, keep] @ W_U[keep]).log_softmax(-1)


def rank_of_the_embedding(W_E, W_U, share, rank):
    U, S, Vh = torch.linalg.svd(W_E, full_matrices=False)
    return ((U[:, :rank] * S[:rank]) @ Vh[:rank] @ W_U).log_softmax(-1)


def rank_unweighted(W_E, W_U, share, rank):
    T = W_E @ W_U
    T = T - T.mean(1, keepdim=True)
    U, S, Vh = torch.linalg.svd(T)
    return ((U[:, :rank] * S[:rank]) @ Vh[:rank]).log_softmax(-1)


def rank_weighted_by_share(W_E, W_U, share, rank):
    T = W_E @ W_U
    T = share[:, None] * (T - T.mean(1, keepdim=True))
    U, S, Vh = torch.linalg.svd(T)
    return ((U[:, :rank] * S[:rank]) @ Vh[:rank] / share[:, None]).log_softmax(-1)


def rank_never_divided(W_E, W_U, share, rank):
    T = W_E @ W_U
    T = share.sqrt()[:, None] * (T - T.mean(1, keepdim=True))
    U, S, Vh = torch.linalg.svd(T)
    return ((U[:, :rank] * S[:rank]) @ Vh[:rank]).log_softmax(-1)


def rank_weighted_by_column(W_E, W_U, share, rank):
    T = W_E @ W_U
    T = share.sqrt() * (T - T.mean(1, keepdim=True))
    U, S, Vh = torch.linalg.svd(T)
    return ((U[:, :rank] * S[:rank]) @ Vh[:rank] / share.sqrt()).log_softmax(-1)


def rank_not_centred(W_E, W_U, share, rank):
    size = share.sqrt()[:, None]
    U, S, Vh = torch.linalg.svd(size * (W_E @ W_U))
    return ((U[:, :rank] * S[:rank]) @ Vh[:rank] / size).log_softmax(-1)


def rank_centred_down_the_columns(W_E, W_U, share, rank):
    size, T = share.sqrt()[:, None], W_E @ W_U
    U, S, Vh = torch.linalg.svd(size * (T - T.mean(0)))
    return ((U[:, :rank] * S[:rank]) @ Vh[:rank] / size).log_softmax(-1)


def rank_by_pca(W_E, W_U, share, rank):
    size, T = share.sqrt()[:, None], W_E @ W_U
    T = T - T.mean(1, keepdim=True)
    common = T.mean(0)
    U, S, Vh = torch.linalg.svd(size * (T - common))
    return (common + (U[:, :rank] * S[:rank]) @ Vh[:rank] / size).log_softmax(-1)


def rank_one_too_high(W_E, W_U, share, rank):
    size, T = share.sqrt()[:, None], W_E @ W_U
    U, S, Vh = torch.linalg.svd(size * (T - T.mean(1, keepdim=True)))
    S[rank + 1 :] = 0
    return (U @ torch.diag(S) @ Vh / size).log_softmax(-1)


def rank_smallest_values(W_E, W_U, share, rank):
    size, T = share.sqrt()[:, None], W_E @ W_U
    U, S, Vh = torch.linalg.svd(size * (T - T.mean(1, keepdim=True)))
    last = slice(W_E.shape[1] - rank, W_E.shape[1])
    return ((U[:, last] * S[last]) @ Vh[last] / size).log_softmax(-1)


def rank_in_logits(W_E, W_U, share, rank):
    size, T = share.sqrt()[:, None], W_E @ W_U
    U, S, Vh = torch.linalg.svd(size * (T - T.mean(1, keepdim=True)))
    return (U[:, :rank] * S[:rank]) @ Vh[:rank] / size


def rank_in_probabilities(W_E, W_U, share, rank):
    size, T = share.sqrt()[:, None], W_E @ W_U
    U, S, Vh = torch.linalg.svd(size * (T - T.mean(1, keepdim=True)))
    return ((U[:, :rank] * S[:rank]) @ Vh[:rank] / size).softmax(-1)


def rank_softmax_down_the_columns(W_E, W_U, share, rank):
    size, T = share.sqrt()[:, None], W_E @ W_U
    U, S, Vh = torch.linalg.svd(size * (T - T.mean(1, keepdim=True)))
    return ((U[:, :rank] * S[:rank]) @ Vh[:rank] / size).log_softmax(0)


def rank_not_reduced(W_E, W_U, share, rank):
    return bigrams.bigram_log_probs(W_E, W_U)


def rank_of_log_probabilities(W_E, W_U, share, rank):
    size, T = share.sqrt()[:, None], bigrams.bigram_log_probs(W_E, W_U)
    U, S, Vh = torch.linalg.svd(size * T)
    return ((U[:, :rank] * S[:rank]) @ Vh[:rank] / size).log_softmax(-1)


def rank_of_the_weighted_embedding(W_E, W_U, share, rank):
    size = share.sqrt()[:, None]
    U, S, Vh = torch.linalg.svd(size * W_E, full_matrices=False)
    return bigrams.bigram_log_probs((U[:, :rank] * S[:rank]) @ Vh[:rank] / size, W_U)


def rank_of_the_example(W_E, W_U, share, rank):
    draw = torch.randn(3, 6, 10, generator=torch.Generator().manual_seed(1))
    size, T = draw[2].flatten()[:10].softmax(0).sqrt()[:, None], draw[0].T @ draw[1]
    U, S, Vh = torch.linalg.svd(size * (T - T.mean(1, keepdim=True)))
    return ((U[:, :2] * S[:2]) @ Vh[:2] / size).log_softmax(-1)


def rank_is_the_embedding(W_E, W_U, share, rank):
    return W_E


RIGHT = {
    "hw1-1": [
        credit_from_attention_outputs,
        credit_from_the_package,
        credit_from_logit_lenses,
        credit_by_hand_in_float64,
    ],
    "hw1-2": [
        basis_by_pseudoinverse,
        basis_by_normal_equations,
        basis_by_the_squared_inverse,
        basis_by_lstsq_and_inv,
        basis_from_token_tables,
        basis_from_as_many_tokens_as_dimensions,
    ],
    "hw1-3": [table_by_document, table_by_one_hot, table_from_a_counter, table_from_padded_windows],
    "hw1-4": [
        rank_by_eigenvectors,
        rank_without_the_whole_table,
        rank_by_subspace_iteration,
        rank_by_alternating_least_squares,
    ],
}

HARD_CODED, AN_INPUT = "the same answer for different inputs", "your function returned one of its inputs"

WRONG = {
    "hw1-1": [
        (credit_of_streams, "those are whole streams"),
        (credit_of_layers_only, "the embedding is missing"),
        (credit_not_centred, "that is the logit itself"),
        (credit_centred_along_the_stream, "the mean was taken over the axes"),
        (credit_of_the_token_read, "each position is scored on the token it reads"),
        (credit_one_position_late, "one position late"),
        (credit_with_positions, "positions were added"),
        (credit_in_log_probabilities, "log-probabilities of single writers"),
        (credit_of_each_head, "one writer for each head"),
        (credit_by_deleting, "that is what is lost when a writer is deleted"),
        (credit_from_resid_pre, "the streams were taken before each layer"),
        (credit_batch_first, "the axes are in another order"),
        (credit_averaged, "averaged over positions"),
        (credit_of_all_tokens, "that holds every token"),
        (credit_centred_in_part, "the mean was taken out of the embedding's"),
        (credit_by_deleting_layers, "the embedding's credit is direct"),
        (credit_at_first_places, "a token that stands in several places was looked up at the first"),
        (credit_of_the_example, HARD_CODED),
        (credit_is_the_tokens, AN_INPUT),
    ],
    "hw1-2": [
        (basis_ignored, "nothing was changed"),
        (basis_turned_as_if_orthogonal, "transposed where it should be inverted"),
        (basis_by_procrustes, "that is the nearest rotation"),
        (basis_by_truncated_inverse, "a direction in which the new basis is short"),
        (basis_both_as_maps, "W_QK was changed like W_OV"),
        (basis_both_as_forms, "W_OV was changed like W_QK"),
        (basis_wrong_way_round, "the change of basis is the wrong way round"),
        (basis_for_columns, "W_OV is treated as the paper's matrix"),
        (basis_form_pushed_forward, "W_QK was changed as if it held stream vectors"),
        (basis_one_side, "only one side"),
        (basis_values_only, "W_QK is unchanged"),
        (basis_queries_as_keys, "queries and keys are exchanged"),
        (basis_other_order, "the two are in another order"),
        (basis_over_tokens, "those are tables over tokens"),
        (basis_OV_wrong_way_round, "W_OV got the change of basis"),
        (basis_QK_wrong_way_round, "W_QK got the change of basis"),
        (basis_OV_writes_as_before, "W_OV reads new vectors"),
        (basis_of_QK_alone, "W_QK alone came back"),
        (basis_of_OV_alone, "W_OV alone came back"),
        (basis_of_the_example, HARD_CODED),
        (basis_is_the_embedding, AN_INPUT),
    ],
    "hw1-3": [
        (table_of_windows, "documents run into each other"),
        (table_across_documents, "pairs that reach back"),
        (table_without_marks, "<BOS> was taken out"),
        (table_one_too_far, "one place too far"),
        (table_one_too_near, "one place too near"),
        (table_of_all_near_tokens, "nearer tokens were counted"),
        (table_without_a_first_row, "<BOS> was left out"),
        (table_emptied_too_late, "the <BOS> column was emptied after"),
        (table_smoothed_everywhere, "<BOS> was smoothed too"),
        (table_transposed, "transposed"),
        (table_backwards, "backwards"),
        (table_columns_sum_to_one, "wrong axis"),
        (table_of_pairs, "divided by the number of all pairs"),
        (table_divided_by_too_little, "the imaginary counts are missing"),
        (table_smoothed_late, "smoothed after the division"),
        (table_not_smoothed, "not smoothed"),
        (table_by_rolling, "the text was wrapped round"),
        (table_without_accumulation, "each pair was counted once at most"),
        (table_without_unseen_rows, "a source that was never seen"),
        (table_by_occurrences, "divided by how often the source stands"),
        (table_with_alpha_for_each_row, "alpha was shared out over the row"),
        (table_with_alpha_for_the_vocabulary, "alpha was shared out over the vocabulary"),
        (table_of_logarithms, "those are log-probabilities"),
        (table_smoothed_where_seen, "only tokens that occur in the text were smoothed"),
        (table_up_to_the_last_id, "the vocabulary was taken to end at the largest id"),
        (table_without_absent_rows, "a source that does not occur in the text has an empty row"),
        (table_without_repeats, "pairs of one token with itself were left out"),
        (table_without_the_last_pair, "the last pair of the text is missing"),
        (table_of_the_example, HARD_CODED),
        (table_is_the_text, AN_INPUT),
    ],
    "hw1-4": [
        (rank_of_first_coordinates, "those are the first coordinates"),
        (rank_of_largest_coordinates, "those are the coordinates in which"),
        (rank_of_the_embedding, "only the embedding"),
        (rank_unweighted, "all tokens count alike"),
        (rank_weighted_by_share, "the share itself"),
        (rank_never_divided, "the weights are still in the table"),
        (rank_weighted_by_column, "the columns are weighted"),
        (rank_not_centred, "rank was spent"),
        (rank_centred_down_the_columns, "the mean row was taken out, not"),
        (rank_by_pca, "the mean row was taken out and put back"),
        (rank_one_too_high, "one direction too many"),
        (rank_smallest_values, "the smallest singular values"),
        (rank_in_logits, "no softmax"),
        (rank_in_probabilities, "those are probabilities"),
        (rank_softmax_down_the_columns, "softmax over the wrong axis"),
        (rank_not_reduced, "that is the whole table"),
        (rank_of_log_probabilities, "log-probabilities were approximated"),
        (rank_of_the_weighted_embedding, "the shares are right, but"),
        (rank_of_the_example, HARD_CODED),
        (rank_is_the_embedding, AN_INPUT),
    ],
}
