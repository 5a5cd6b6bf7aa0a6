"""What a one-layer model's heads do to the tokens that they look at: in their tables, kind by kind, and in runs."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from walkthrough.architecture import SCORING, STREAM, leaves_out
from walkthrough.circuits import ov_circuit, qk_circuit
from walkthrough.one_layer.skip_trigrams import effect
from walkthrough.searches import relative_to


@leaves_out(*STREAM, *SCORING, "value_biases", "logits")
def copying_table(
    model, words: Int[Tensor, " word"], destinations: Int[Tensor, " destination"], k: int
) -> list[tuple[int, int, list[int], list[int]]]:
    """The k words whose own OV entry stands out most in its row: source, head, 4 keenest destinations, 4 highest outs.

    To stand out is counted in standard deviations of the row above its mean, in the word's best head (Elhage et al.
    2021, "Copying / Primitive In-Context Learning").
    """
    rows = [ov.A[words] @ ov.B for ov in (ov_circuit(model, 0, head) for head in range(model.cfg.n_heads))]
    own = torch.stack([(row.gather(1, words[:, None])[:, 0] - row.mean(1)) / row.std(1) for row in rows])
    table = []
    for word in own.amax(0).argsort(descending=True)[:k].tolist():
        head = own[:, word].argmax().item()
        qk = relative_to(qk_circuit(model, 0, head))
        keenest = destinations[(qk.A[destinations] @ qk.B[:, words[word]]).topk(4).indices]
        table.append((words[word].item(), head, keenest.tolist(), rows[head][word].topk(4).indices.tolist()))
    return table


def split_words(tokenizer) -> list[tuple[int, int, int]]:
    """Words that are one token after a space and two without: ids of " word", of its first half, and of the rest."""
    vocab = sorted(tokenizer.get_vocab().items())  # in which Ġ is a space
    words = [(token, text[1:]) for text, token in vocab if text[0] == "Ġ" and text[1:].isascii() and text[1:].isalpha()]
    pieces = [(token, *tokenizer.encode(text, add_special_tokens=False)) for token, text in words]
    return [word for word in pieces if len(word) == 3]


def rank(table: Float[Tensor, "row column"], column: Int[Tensor, " row"]) -> Int[Tensor, " row"]:
    """How many entries of each row are larger than the one in the column that is named for it."""
    own = table.gather(1, column[:, None])
    return (table > own).sum(1)


@leaves_out(*STREAM, *SCORING, "value_biases", "logits")
def copied_in_pieces(
    model, head: int, whole: Int[Tensor, " word"], first: Int[Tensor, " word"], rest: Int[Tensor, " word"],
    n_outs: int = 20, n_destinations: int = 100,
) -> Bool[Tensor, " word"]:  # fmt: skip
    """For which words a head's tables say [ab] … [a] → [b]: `whole` is ab, `first` a, and `rest` b.

    Those whose `n_outs` highest outs hold b, and whose `n_destinations` keenest destinations hold a (Elhage et al. 2021, "Copying /
    Primitive In-Context Learning": words that are split in two without their space).
    """
    ov, qk = ov_circuit(model, 0, head), relative_to(qk_circuit(model, 0, head))
    raised = ov.A[whole] @ ov.B
    keen = (qk.A @ qk.B[:, whole]).T
    return (rank(raised, rest) < n_outs) & (rank(keen, first) < n_destinations)


def copying_effect(
    model, words: Int[Tensor, " word"], destinations: Int[Tensor, " context"], windows: Int[Tensor, "window pos"],
    pool: Int[Tensor, " choice"], hooks: Sequence = (),
) -> Float[Tensor, " word"]:  # fmt: skip
    """The mean `effect` of each word on itself, in nats, in contexts that end with one destination each.

    `hooks` change the model's runs.
    """
    means = []
    with model.hooks(fwd_hooks=list(hooks)):
        for word in words.tolist():
            means.append(effect(model, word, destinations, [word], windows, pool, len(destinations)).mean())
    return torch.stack(means)


KINDS = (
    "<BOS>", "line break", "spaces", "word", "Word", "WORD", "·word", "·Word", "·WORD", "digits", "brackets",
    "other signs", "·other signs", "not ASCII",
)  # fmt: skip


def token_kind(text: str) -> int:
    """What kind of token a text is, by its letters and signs alone: its place in KINDS, where `·` is a leading space.

    A token that holds a line break is a "line break", whatever follows; one that holds a digit counts as digits, one that
    holds a bracket as brackets. Words are letters only, told apart by a leading space and by capitals.
    """
    body = text.strip(" ")
    space = "·" if body and text.startswith(" ") else ""
    if text == "<BOS>":
        kind = "<BOS>"
    elif not text.isascii():
        kind = "not ASCII"
    elif "\n" in text:
        kind = "line break"
    elif not body:
        kind = "spaces"
    elif body.isalpha():
        kind = space + ("WORD" if len(body) > 1 and body.isupper() else "Word" if body[0].isupper() else "word")
    elif any(sign.isdigit() for sign in body):
        kind = "digits"
    elif any(sign in "()[]{}" for sign in body):
        kind = "brackets"
    else:
        kind = space + "other signs"
    return KINDS.index(kind)


def shuffles_within(kinds: Int[Tensor, " d_vocab"], n_shuffles: int) -> Int[Tensor, "shuffle d_vocab"]:
    """Random orders of the vocabulary in which every token is replaced by one of its own kind.

    Within a kind every order is equally likely. Uses torch's own generator.
    """
    orders = torch.arange(len(kinds)).repeat(n_shuffles, 1)
    for kind in kinds.unique():
        members = (kinds == kind).nonzero()[:, 0]
        for order in orders:
            order[members] = members[torch.randperm(len(members))]
    return orders


def kind_logit(circuit, kinds: Int[Tensor, " d_vocab"]) -> Float[Tensor, " d_vocab"]:
    """What each token adds to the average token of its own kind (itself among them), in logits.

    It is the mean of `own_logit` over all shuffles of the outs within their kinds.
    """
    members = torch.nn.functional.one_hot(kinds).to(circuit.B)
    average = circuit.B @ members / members.sum(0).clamp_min(1)  # [d_head kind]
    return (circuit.A * average[:, kinds].T).sum(-1)


def attended_own_logit(
    pattern: Float[Tensor, "batch query key"],
    tokens: Int[Tensor, "batch key"],
    own: Float[Tensor, " d_vocab"],
) -> Float[Tensor, "batch query"]:
    """What a head adds to the tokens that it looks at: their own logits, weighted by attention.

    `own` is the diagonal of the head's centred OV circuit, in logits. <BOS>, at position 0, is left
    out. Above zero if the head copies where it looks, below zero if it suppresses.
    """
    own_at_key = own[tokens]
    own_at_key[:, 0] = 0
    return (pattern * own_at_key[:, None, :]).sum(-1)


def through_entries(
    circuit, pattern: Float[Tensor, "batch query key"], tokens: Int[Tensor, "batch key"], outs: Int[Tensor, " d_vocab"]
) -> Float[Tensor, "batch query d_vocab"]:
    """The logits that reach a prompt through one entry of each row of an OV circuit: column outs[a] of row a.

    With outs = arange(d_vocab) these are the diagonal's, from each token to itself. To subtract them from the model's
    logits is to run it with these entries of the table set to zero.
    """
    entries = (circuit.A * circuit.B[:, outs].T).sum(-1)
    moved = pattern * entries[tokens][:, None, :]
    logits = moved.new_zeros(*pattern.shape[:2], len(outs))
    return logits.scatter_add(2, outs[tokens][:, None, :].expand_as(pattern), moved)


def added_where_attended(
    model, head: int, tokens: Int[Tensor, "batch pos"], ablation: Sequence, chunk: int = 40
) -> tuple[Int[Tensor, " place"], Float[Tensor, " place"], Float[Tensor, " place"]]:
    """What a head of layer 0 adds to the token that it looks at most, for each query but the first.

    `ablation` holds the hooks that take the head away. Three vectors: the token (<BOS>, at position 0, is left out), what the
    head adds to it, which is the difference of its centred logits to a run without the head, and its log-probability in that
    run. `chunk` prompts are run at a time.
    """
    found = []
    for prompts in tokens.split(chunk):
        name = "blocks.0.attn.hook_pattern"
        logits, cache = model.run_with_cache(prompts, names_filter=name)
        without = model.run_with_hooks(prompts, fwd_hooks=list(ablation))
        most = prompts.gather(1, 1 + cache[name][:, head, 1:, 1:].argmax(-1))
        with_it, without_it = (at_tokens(each[:, 1:], most) for each in (logits, without))
        constant = logits[:, 1:].mean(-1) - without[:, 1:].mean(-1)
        log_prob = at_tokens(without[:, 1:].log_softmax(-1), most)
        found.append([most.flatten(), (with_it - without_it - constant).flatten(), log_prob.flatten()])
    token, added, log_prob = (torch.cat(parts) for parts in zip(*found))
    return token, added, log_prob


def at_tokens(
    logits: Float[Tensor, "batch query d_vocab"], tokens: Int[Tensor, "batch query"]
) -> Float[Tensor, "batch query"]:
    """At each query the logit of the token that is named for it."""
    return logits.gather(2, tokens[..., None])[..., 0]


def same_token_elsewhere(values: Float[Tensor, " place"], tokens: Int[Tensor, " place"]) -> Float[Tensor, " place"]:
    """For each place the mean of the values at all other places of the same token; nan where there is none."""
    total = values.new_zeros(int(tokens.max()) + 1).index_add_(0, tokens, values)[tokens]
    n_places = tokens.bincount()[tokens]
    return (total - values) / (n_places - 1)


def likelier_half(
    values: Float[Tensor, " place"], by: Float[Tensor, " place"], tokens: Int[Tensor, " place"], at_least: int
) -> Float[Tensor, " token"]:
    """For each token with at_least places: the mean value where `by` is in the upper half of its places, minus the other half.

    With an odd number of places the middle one is left out. Raises ValueError if at_least is below 2.
    """
    if at_least < 2:
        raise ValueError(f"two halves need at least two places, not {at_least}")
    changes = []
    for token in tokens.unique():
        places = (tokens == token).nonzero()[:, 0]
        if len(places) >= at_least:
            ordered, half = values[places[by[places].argsort()]], len(places) // 2
            changes.append(ordered[-half:].mean() - ordered[:half].mean())
    return torch.stack(changes) if changes else values.new_zeros(0)


def in_bins(
    values: Sequence[Float[Tensor, " place"]], by: Float[Tensor, " place"], edges: Sequence[float]
) -> list[list[tuple[float, float]]]:
    """For each of the values, its mean and the standard error of that mean in each bin of `by`.

    A bin holds its lower edge, and the last one its upper edge, too. Raises ValueError for a bin with fewer than two places, which has no spread.
    """
    means = []
    for each in values:
        found = []
        for low, high in pairwise(edges):
            inside = each[(by >= low) & ((by < high) | (high == edges[-1]) & (by == high))]
            if len(inside) < 2:
                raise ValueError(f"{len(inside)} places from {low:g} to {high:g}: choose wider bins")
            found.append((inside.mean().item(), (inside.std() / len(inside) ** 0.5).item()))
        means.append(found)
    return means
