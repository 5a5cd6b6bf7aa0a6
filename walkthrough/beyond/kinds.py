"""One protocol for units of any network: of how many categories are the inputs that drive a unit most?"""

import keyword
import math
import re
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from walkthrough.architecture import STREAM, leaves_out
from walkthrough.circuits import centred, ov_circuit

ROUND, STRAIGHT = "CGJOQSU", "AEFKLTVXY"
TOKEN_KINDS = (
    ("space and line breaks", r"\s*"), ("digits", r" ?\d+"), ("signs", r"[\W_]+"), ("capital letters", r" ?[A-Z][A-Z0-9_]*"),
    ("Capitalised", r" ?[A-Z]\w*"), ("a word with its space", r" [a-z]\w*"), ("a piece of a word", r"[a-z]\w*"),
)  # fmt: skip


def top_counts(
    activation: Float[Tensor, "unit input"], category: Int[Tensor, " input"], k: int
) -> Int[Tensor, "unit category"]:
    """For each unit, how many of the k inputs that drive it most belong to each category."""
    top = category[activation.topk(k, dim=-1).indices]
    return torch.stack([(top == kind).sum(-1) for kind in range(int(category.max()) + 1)], dim=-1)


def chance_of(count: int, k: int, size: int, total: int) -> float:
    """The probability that k inputs drawn without replacement hold at least `count` of a category of this size."""
    least = max(count, k + size - total)
    ways = sum(math.comb(size, n) * math.comb(total - size, k - n) for n in range(least, min(k, size) + 1))
    return ways / math.comb(total, k)


def n_categories(
    activation: Float[Tensor, "unit input"], category: Int[Tensor, " input"], k: int = 40, level: float = 0.01
) -> Int[Tensor, " unit"]:
    """In how many categories the top k inputs of each unit fall more than by chance.

    A category counts if its share has a probability below `level` divided by the number of categories: of units that
    take no notice of categories, at most a share `level` has any.
    """
    sizes = category.bincount().tolist()
    found = []
    for counts in top_counts(activation, category, k).tolist():
        chances = [chance_of(count, k, size, len(category)) for count, size in zip(counts, sizes)]
        found.append(sum(chance < level / len(sizes) for chance in chances))
    return torch.tensor(found)


def token_kinds(texts: Sequence[str]) -> Int[Tensor, " token"]:
    """The kind of each token, as its number: a keyword of Python is 0, then TOKEN_KINDS in order, anything else last."""
    kinds = []
    for text in texts:
        fits = [n for n, (_, form) in enumerate(TOKEN_KINDS, 1) if re.fullmatch(form, text, re.ASCII)]
        kinds.append(0 if keyword.iskeyword(text.strip()) else fits[0] if fits else len(TOKEN_KINDS) + 1)
    return torch.tensor(kinds)


def shapes(letters: str) -> Int[Tensor, " letter"]:
    """Whether each letter is made of curves only (0), of straight strokes only (1), or of both (2)."""
    return torch.tensor([0 if x in ROUND else 1 if x in STRAIGHT else 2 for x in letters])


def in_groups(sizes: Int[Tensor, " group"], n: int, generator: torch.Generator) -> Int[Tensor, " n"]:
    """n things dealt at random into groups, in proportion to `sizes` but at least one to each: the group of each thing."""
    quota = (sizes / sizes.sum() * n).round().clamp_min(1).long()
    while quota.sum() != n:
        quota[quota.argmax()] += 1 if quota.sum() < n else -1
    return torch.repeat_interleave(torch.arange(len(sizes)), quota)[torch.randperm(n, generator=generator)]


@leaves_out(*STREAM, "value_biases", "groups", "logits")
def said_by_heads(model, tokens: Int[Tensor, " token"]) -> Float[Tensor, "head token"]:
    """How strongly tokens drive the heads of layer 0: the length of a token's row in each head's centred OV table."""
    lengths = []
    for head in range(model.cfg.n_heads):
        circuit = centred(ov_circuit(model, 0, head))
        rows = circuit.A[tokens] @ torch.linalg.qr(circuit.B.T).R.T  # same lengths and angles as the table's rows
        lengths.append(rows.norm(dim=-1))
    return torch.stack(lengths).detach()
