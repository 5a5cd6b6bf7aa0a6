"""Tasks 3 and 4 of homework 4: the same heads written otherwise, and heads built by hand."""

import torch
from torch import Tensor

from walkthrough.two_layers import handmade

VIRTUAL, BROKEN = "notebook 07, “Virtual heads, and what is not one”", "notebook 09, “Found by what breaks”"
BEHAVIOUR = "notebook 08, “Found by what they do”"


# hw4-3 the same heads, and whatever number you like


def drawn(seed: int, n: int, d_model: int, d_head: int) -> tuple[Tensor, Tensor]:
    """W_V and W_O of n heads."""
    both = torch.randn(2, n, d_model, d_head, generator=torch.Generator().manual_seed(seed))
    return both[0], both[1].mT.contiguous()


def chains_and_factors(seed: int) -> list[tuple[Tensor, Tensor, float]]:
    """Chains of two and of three heads, and by how much the given program's number should grow.

    In the last but one, the program's small product is diagonal, and not a multiple of the identity. In the last it is
    close to one, so that only a large stretch does anything.
    """
    sizes = ((3, 10, 3, 5.0), (2, 14, 4, 40.0), (3, 8, 2, 12.0))
    cases = [(*drawn(seed + i, *size), factor) for i, (*size, factor) in enumerate(sizes)]
    nearly = torch.eye(3) + 0.03 * torch.linalg.qr(drawn(seed + 5, 1, 3, 3)[0][0]).Q
    products = torch.tensor([9.0, -3.0, 5.0]).diag(), nearly
    return [*cases, *((*with_product(seed + 3 + i, product), 7.0) for i, product in enumerate(products))]


def with_product(seed: int, product: Tensor) -> tuple[Tensor, Tensor]:
    """W_V and W_O of two heads whose small product, in the given program, is this one."""
    W_V, W_O = (W.double() for W in drawn(seed, 2, 12, 3))
    wanted = (W_O[0] @ W_V[1]).inverse() @ product.double()
    W_O[1] += (wanted - W_O[1] @ W_V[0]) @ W_V[0].pinverse()
    return W_V.float(), W_O.float()


def given_norm(W_V: Tensor, W_O: Tensor) -> Tensor:
    """The notebook's given program, slip and all."""
    product = torch.eye(W_V.shape[2]).to(W_V)
    for out, into in zip(W_O, W_V.roll(-1, 0)):
        product = product @ (out @ into)
    return product.norm()


def written_otherwise(answer, W_V: Tensor, W_O: Tensor, factor: float) -> str | None:
    """What is wrong with a chain said to be the same heads, and to grow the given program's number by a factor."""
    try:
        new_V, new_O = (torch.as_tensor(W).detach().double() for W in answer)
    except (TypeError, ValueError, RuntimeError):
        return "return two tensors, the new W_V and W_O of the whole chain"
    W_V, W_O = W_V.double(), W_O.double()
    if (new_V.shape, new_O.shape) != (W_V.shape, W_O.shape):
        return f"your shapes are {list(new_V.shape)} and {list(new_O.shape)}, not those of the chain that was given: is it hard-coded to the example?"
    if not (new_V.isfinite().all() and new_O.isfinite().all()):
        return "your matrices hold nan or infinity"
    if torch.equal(new_V, W_V) and torch.equal(new_O, W_O):
        return "your function returned what it was given"
    old, new = W_V @ W_O, new_V @ new_O
    changed = (new - old).norm(dim=(1, 2)) / old.norm(dim=(1, 2))
    ratio = (given_norm(new_V, new_O) / given_norm(W_V, W_O)).item()
    if changed.max() > 1e-3:
        return other_heads(new_V, new_O, W_V, W_O, int(changed.argmax()))
    if ratio > factor * (1 - 1e-3):
        return None
    M = torch.linalg.lstsq(W_V, new_V).solution
    eye = torch.eye(len(M[0])).double()
    if ratio < 0.99:
        return "the same heads, but the number fell, and it should grow"
    if ratio > 1.01:
        return "the same heads, and the number grew, but by less than the factor that was asked"
    if (M - M[:, :1, :1] * eye).abs().max() < 1e-3 * M.abs().max():
        return "the same heads, but a plain number cancels: the program's matrix only sees M if M has directions"
    if (M[0] - M[0, 0, 0] * eye).abs().max() < 1e-3 * M[0].abs().max():
        return "the same heads, but where you put M it meets its own inverse inside the program: which W_V walked round the circle?"
    if (M[0].T @ M[0] / M[0].square().mean() / len(eye) - eye).abs().max() < 1e-2:
        return "the same heads, but M is a rotation: a Frobenius norm does not notice those"
    if all((m - m.diag().diag()).abs().max() < 1e-3 * m.abs().max() for m in M):
        return "the same heads, but the number did not grow: the program's matrix may keep an axis to itself, so stretch another direction, and check"
    return "the same heads, but the number did not grow by the factor that was asked"


def other_heads(new_V: Tensor, new_O: Tensor, W_V: Tensor, W_O: Tensor, worst: int) -> str:
    """In what way they are not the same heads."""
    old, new = W_V @ W_O, new_V @ new_O
    if all(min((x - head).norm() / head.norm() for head in old) < 1e-3 for x in new):
        return "the same heads, but in another order: the earliest comes first"
    whole = [torch.linalg.multi_dot(list(V @ O)) for V, O in ((W_V, W_O), (new_V, new_O))]
    if (whole[1] - whole[0]).norm() < 1e-3 * whole[0].norm():
        return f"the chain as a whole is the same, but head {worst} by itself is not: each W_V W_O must stay"
    if torch.equal(new_O, W_O):
        return "only W_V was changed, so these are other heads: W_O must undo it"
    M = torch.linalg.lstsq(W_V[worst], new_V[worst]).solution
    if (M - M.diagonal().mean() * torch.eye(len(M)).to(M)).abs().max() < 1e-4 * M.abs().max():
        return "both were multiplied by numbers that do not cancel, so these are other heads"
    for undo, sentence in (
        (torch.linalg.pinv(M).T, "M comes back transposed on W_O's side, as for W_Q and W_K, so these are other heads"),
        (M.T, "W_O got the transpose of M, which undoes only rotations, so these are other heads"),
        (M, "W_O got M itself, and not what undoes it, so these are other heads"),
    ):
        if (undo @ W_O[worst] - new_O[worst]).norm() < 1e-3 * new_O[worst].norm():
            return sentence
    return f"head {worst} is another head now: its W_V W_O has changed"


# hw4-4 a head that reads backwards


def benches(seed: int) -> list[tuple[Tensor, ...]]:
    """Empty benches of two sizes."""
    d_vocab, more = torch.randint(14, 20, (2,), generator=torch.Generator().manual_seed(seed)).tolist()
    return [handmade.bench(d_vocab, 2 * d_vocab + 3), handmade.bench(more + 6, more + 9)]


def said_again(d_vocab: int, length: int, batch: int) -> tuple[Tensor, Tensor, Tensor]:
    """Different tokens once, then each again in any order; and which queries have which source.

    A query is the second place of a token, its source the first. Tokens that stood right after `<BOS>` are left out. In
    the first prompt, a token stands twice in a row.
    """
    generator = torch.Generator().manual_seed(1000 * d_vocab + length)
    rows, sources = [], []
    for i in range(batch):
        first = 1 + torch.randperm(d_vocab - 1, generator=generator)[:length]
        order = torch.randperm(length, generator=generator)
        if i == 0:
            order = torch.cat([torch.tensor([length - 1]), order[order < length - 1]])
        rows.append(torch.tensor([0, *first.tolist(), *first[order].tolist()]))
        sources.append(1 + order)
    row, place = (torch.stack(sources) > 1).nonzero().T
    return torch.stack(rows), torch.stack([row, place + length + 1]), torch.stack(sources)[row, place]


def observe(heads, W_E: Tensor, W_pos: Tensor, W_U: Tensor) -> dict[str, float]:
    """What two heads do on prompts of four lengths: which tokens they name, and where they look."""
    seen, rights = {}, []
    longest = min((len(W_pos) - 1) // 2, len(W_E) - 1)
    for length in (4, 6, longest - 2, longest):
        tokens, (row, query), source = said_again(len(W_E), length, 6)
        logits, patterns = handmade.run_heads(tokens, W_E, W_pos, W_U, heads)
        named, second = logits[row, query].argmax(-1), patterns[row, 1, query]
        share = lambda truth: truth.float().mean().item()
        each = {
            "right": share(named == tokens[row, source - 1]),
            "after": share(named == tokens[row, source + 1]),
            "present": share(named == tokens[row, query]),
            "before it": share(named == tokens[row, query - 1]),
            "previous": patterns[:, 0].diagonal(-1, -2, -1)[:, 1:].mean().item(),
            "source": second.gather(1, source[:, None]).mean().item(),
            "elsewhere": share(second.gather(1, source[:, None]) < 0.5),
            "self": second.gather(1, query[:, None]).mean().item(),
            "moves with tokens": (patterns[0, 1] - patterns[1, 1]).abs().max().item(),
        }
        seen = {name: seen.get(name, 0) + x / 4 for name, x in each.items()}
        rights.append(each["right"])
    return seen | {"worst": min(rights)}


def reads_backwards(answer, *bench: Tensor) -> str | None:
    """Why two heads do not name what came BEFORE the present token, the last time it was said; None if they do."""
    d_model = bench[0].shape[1]
    try:
        heads = [[torch.as_tensor(matrix).detach().float() for matrix in four] for four in answer]
        shapes = [[list(matrix.shape) for matrix in four] for four in heads]
    except (TypeError, ValueError, RuntimeError):
        shapes = []
    if [len(head) for head in shapes] != [4, 4]:
        return "two heads of four matrices are to be returned, (W_Q, W_K, W_V, W_O) for each layer"
    for layer, sizes in enumerate(shapes):
        seen, moved = (size[-1] if size else 0 for size in (sizes[0], sizes[2]))  # d_head may be one for QK, one for OV
        if sizes != [[d_model, seen], [d_model, seen], [d_model, moved], [moved, d_model]]:
            return f"layer {layer}: W_Q, W_K, W_V are [{d_model} d_head] on this bench, W_O is [d_head {d_model}]; yours are {sizes}: hard-coded to the example?"
    if not torch.cat([W.flatten() for head in heads for W in head]).isfinite().all():
        return "there are nan or infinite weights: entries of about 1000 do"
    look = lambda these: observe(these, *bench)
    seen = look(heads)
    if seen["worst"] > 0.99:
        return None
    (q, k, v, o), second = heads
    if look([(10_000 * W[0], *W[1:]) for W in heads])["worst"] > 0.99:
        return "the right idea, but attention is too soft: remember that scores are divided by √d_head"
    if look([(k, q, v, o), second])["worst"] > 0.99:
        return (
            "W_Q and W_K of the first head are exchanged: it asks for the token after its own, where no head may look"
        )
    if seen["after"] > 0.6:
        return "that is an induction head: it names what came AFTER the present token the last time, not before"
    if seen["previous"] < 0.9:
        return f"the first head pays {seen['previous']:.0%} of its attention to the token just before its own"
    if seen["self"] > 0.3:
        return f"the second head pays {seen['self']:.0%} of its attention to its own position: the present token matches itself as well, and what is kept there is what came before it NOW"
    if seen["moves with tokens"] < 0.01:
        return "where the second head looks does not depend on the tokens: it copies from a fixed place"
    if seen["source"] > 0.8 and seen["elsewhere"] > 0.005:
        return f"the second head finds the first place, but not at every query: at {seen['elsewhere']:.1%} of them it looks elsewhere, as where the two places stand side by side"
    if seen["present"] > 0.6:
        return (
            "the present token itself is named: the place is found, but what came before it must be what is read there"
        )
    if seen["source"] > 0.9 and seen["before it"] > 0.6:
        return "the token just before the query wins: what the first head wrote at the query's own position reaches the logits"
    if seen["source"] > 0.9:
        return "the second head looks at the right place, but the logits do not name what the first head wrote there"
    return f"the second head pays {seen['source']:.0%} of its attention to the earlier place of the present token"
