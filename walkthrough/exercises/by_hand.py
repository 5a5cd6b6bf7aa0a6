"""The judge of exercise 9.5: is it an induction head, however it was built?"""

import torch
from torch import Tensor


def benches() -> list[tuple]:
    """Empty benches of two sizes."""
    from walkthrough.two_layers import handmade

    return [handmade.bench(d_vocab, n_ctx) for d_vocab, n_ctx in ((16, 30), (21, 41))]


def said_twice(d_vocab: int, length: int, pieces: int, seed: int) -> tuple[Tensor, Tensor]:
    """Different tokens in random order, said again in as many shuffled pieces; and where each came first.

    The second tensor is 0 for the first copy and, later on, for the end of each piece, whose next token is new.
    """
    generator = torch.Generator().manual_seed(seed)
    first = 1 + torch.randperm(d_vocab - 1, generator=generator)[:length]
    parts = torch.arange(length).chunk(pieces)
    order = torch.cat([parts[i] for i in torch.randperm(len(parts), generator=generator)])
    source = torch.cat([torch.zeros(length + 1, dtype=torch.long), order + 1])
    source[-1] = 0
    source[:-1][source[1:] != source[:-1] + 1] = 0
    return torch.cat([torch.zeros(1, dtype=torch.long), first, first[order]]), source


def hand_built(answer, W_E: Tensor, W_pos: Tensor, W_U: Tensor) -> str | None:
    """What is wrong with two heads as induction heads, from what they do on prompts never seen before."""
    from walkthrough.two_layers import handmade

    d_vocab, d_model = W_E.shape
    try:
        heads = [tuple(torch.as_tensor(W).float() for W in head) for head in answer]
        shapes = [[list(W.shape) for W in head] for head in heads]
    except (TypeError, ValueError, RuntimeError):
        return "return two heads, each of four matrices: [(W_Q, W_K, W_V, W_O), (W_Q, W_K, W_V, W_O)]"
    if [len(head) for head in heads] != [4, 4]:
        return f"two heads of four matrices were asked: yours hold {[len(head) for head in heads]}"
    for layer, (q, k, v, o) in enumerate(shapes):
        if any(len(x) != 2 or x[0] != d_model for x in (q, k, v)) or q != k or o != v[::-1]:
            return f"layer {layer}: W_Q, W_K and W_V should be [{d_model} d_head] and W_O [d_head {d_model}], not {q}, {k}, {v}, {o}"
    if not all(W.isfinite().all() for head in heads for W in head):
        return "your weights hold nan or infinity: large numbers such as 1000 are enough"
    longest = (len(W_pos) - 1) // 2
    right, before, copy, after, foremost = {}, [], [], [], []
    for length in (4, 7, longest - 3, longest):
        for pieces in (1, 2):
            tokens, source = said_twice(d_vocab, length, pieces, seed=torch.Generator().seed() % 2**31)
            logits, patterns = handmade.run_heads(tokens[None], W_E, W_pos, W_U, heads)
            query = source.nonzero()[:, 0]
            right[length, pieces] = (logits[0, query].argmax(-1) == tokens[query + 1]).float().mean().item()
            before.append(patterns[0, 0].diagonal(-1)[1:].mean().item())
            copy.append(patterns[0, 1, query, source[query]].mean().item())
            after.append(patterns[0, 1, query, source[query] + 1].mean().item())
            position = torch.arange(2, len(tokens))
            looks_before = patterns[0, 0, position].argmax(-1) == position - 1
            looks_after = patterns[0, 1, query].argmax(-1) == source[query] + 1
            looks_at_copy = patterns[0, 1, query].argmax(-1) == source[query]
            foremost.append([looks.float().mean().item() for looks in (looks_before, looks_after, looks_at_copy)])
    if min(right.values()) > 0.99:
        return None
    lowest, mean = min(right, key=right.get), lambda values: sum(values) / len(values)
    first_right, second_right, matches_itself = (min(one[i] for one in foremost) > 0.9 for i in range(3))
    if mean(copy) > 0.4 or matches_itself:  # at best a half: the present token matches itself as well
        return (
            "the second head looks at the earlier copy of the present token, not at the token after it: "
            "its keys must hold each position's PREVIOUS token, which the first head has to write"
        )
    if first_right and second_right and min(mean(before), mean(after)) < 0.9:
        return (
            f"right idea, attention too soft: the first head pays {mean(before):.0%} of its attention to the token just "
            f"before, the second {mean(after):.0%} to the token after the earlier copy: make the entries of their W_Q larger"
        )
    if first_right and mean(before) < 0.9:
        return (
            "attention too soft: the first head looks at the token just before most of all, but pays it only "
            f"{mean(before):.0%} of its attention: make the entries of W_Q larger, then see what the second head does"
        )
    if mean(after) > 0.9:
        return "the second head looks at the right place, but the logits do not name what is there: see its W_V and W_O"
    if max(right.values()) > 0.99:
        return (
            f"right for some prompts, but only {right[lowest]:.0%} with copies of {lowest[0]} tokens in {lowest[1]} piece(s): "
            "it copies from a fixed distance, or from one kind of place, and does not look for the token"
        )
    if mean(before) < 0.9:
        return (
            f"the first head pays {mean(before):.0%} of its attention to the token just before: "
            "make W_Q move a position back by one, and its entries large"
        )
    return (
        f"the second head pays {mean(after):.0%} of its attention to the token after the earlier copy: do its queries "
        "match what the first head wrote, in the same free axes, and are they large enough?"
    )
