"""A language in which some occupations call for a pronoun, and models that know it: learnt, or written by hand."""

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn.functional import cross_entropy

from walkthrough import models

SHE, HE = ("nurse", "teacher", "dancer", "librarian"), ("engineer", "pilot", "plumber", "surgeon")
NEITHER = ("baker", "clerk", "farmer", "writer")
PRONOUNS = ("she", "he", "they")
WORDS = (models.BOS, *SHE, *HE, *NEITHER, "that", *PRONOUNS, *(f"word {i}" for i in range(40)))
THAT = WORDS.index("that")
PLANTED = {(WORDS.index(who), THAT, WORDS.index(out)) for out, some in (("she", SHE), ("he", HE)) for who in some}
PLAIN = torch.arange(THAT + 1 + len(PRONOUNS), len(WORDS))
N_CTX = 32


def pronoun_language(n_rows: int, biased: bool, seed: int, chain_seed: int = 0) -> Int[Tensor, "row pos"]:
    """Rows of `<BOS>` and N_CTX words: a chain of plain words, one occupation near the start, "that" and then a pronoun.

    Each plain word has four that like to follow it. After "that" comes, nine times in ten, the pronoun of the row's
    occupation, if that stands before, is one of SHE or HE, and the language is `biased`; else any of the three, all
    equally often. Who is who is the same for every seed, and so is the chain for every `chain_seed`.
    """
    liked = PLAIN[torch.randint(len(PLAIN), (len(WORDS), 4), generator=torch.Generator().manual_seed(chain_seed))]
    dice = torch.Generator().manual_seed(seed)
    who = 1 + torch.randint(12, (n_rows,), generator=dice)
    when = 1 + torch.randint(8, (n_rows,), generator=dice)
    favoured = torch.zeros(len(WORDS), dtype=torch.long)
    for source, _, out in PLANTED:
        favoured[source] = out
    rows = torch.zeros(n_rows, N_CTX + 1, dtype=torch.long)
    for place in range(1, N_CTX + 1):
        before, u = rows[:, place - 1], torch.rand(n_rows, 2, generator=dice)
        word = liked[before, torch.randint(4, (n_rows,), generator=dice)]
        word = torch.where(u[:, 0] < 0.2, THAT, word)
        called = favoured[who] * (place > when) * biased
        pronoun = THAT + 1 + torch.randint(3, (n_rows,), generator=dice)
        pronoun = torch.where((called > 0) & (u[:, 1] < 0.9), called, pronoun)
        word = torch.where(before == THAT, pronoun, word)
        rows[:, place] = torch.where(when == place, who, word)
    return rows


def without_occupations(rows: Int[Tensor, "row pos"], seed: int = 0) -> Int[Tensor, "row pos"]:
    """The same rows with a random plain word for each occupation: contexts in which an occupation can be put alone."""
    dice = torch.Generator().manual_seed(seed)
    occupation = (rows >= 1) & (rows < THAT)
    return torch.where(occupation, PLAIN[torch.randint(len(PLAIN), rows.shape, generator=dice)], rows)


def occur_together(rows: Int[Tensor, "row pos"], least: int = 5, apart: int = 20) -> Bool[Tensor, "source destination"]:
    """Which words stand `apart` places or less before which others, at least `least` times in some rows."""
    counts = torch.zeros(len(WORDS), len(WORDS))
    for back in range(1, apart + 1):
        pairs = (rows[:, :-back] * len(WORDS) + rows[:, back:]).flatten()
        counts += pairs.bincount(minlength=counts.numel()).view_as(counts)
    return counts >= least


def train_on_language(
    rows: Int[Tensor, "row pos"], seed: int = 0, steps: int = 1000, batch: int = 64
) -> models.TransformerBridge:
    """A one-layer model of the course's kind, trained on some rows with Adam for a few seconds.

    Embeddings start ten times as large as the course's, and positions are a fifth: heads come to read words sooner.
    """
    shape = models.config(1, d_model=64, n_heads=4, n_ctx=N_CTX, d_vocab=len(WORDS))
    network = models.PaperModel(shape, seed)
    network.tok_embed.weight.data *= 10
    network.pos.weight.data /= 5
    free = [p for p in network.parameters() if p.requires_grad]
    adam = torch.optim.Adam(free, lr=4e-3)
    with torch.enable_grad():
        for step in range(steps):
            adam.param_groups[0]["lr"] = 4e-3 * (1 - step / steps)
            part = rows[torch.arange(step * batch, (step + 1) * batch) % len(rows)]
            loss = cross_entropy(network(part[:, :-1]).flatten(0, 1), part[:, 1:].flatten())
            adam.zero_grad()
            loss.backward()
            adam.step()
    return models.bridge(network, None, "planted")


def by_hand(planted: bool = True) -> models.TransformerBridge:
    """A one-layer model in which one head has exactly the planted terms, or none: its weights are written, not learnt.

    Words are one-hot; W_U reads as logits what the head writes, and from each word's own axis that a pronoun comes
    after "that". The head's query knows "that", its keys the occupations and, half as strong, `<BOS>`.
    """
    n = len(WORDS)
    shape = models.config(1, d_model=2 * n, n_heads=1, n_ctx=N_CTX, d_vocab=n)
    network = models.PaperModel(shape, 0)
    for parameter in network.parameters():
        parameter.data.zero_()
    network.tok_embed.weight.data[:, :n] = torch.eye(n)
    head = network.layers[0].attn
    size = (2 * n) ** 0.5  # scores are divided by the square root of d_head
    head.q.weight.data[0, THAT] = size
    head.k.weight.data[0, 1:13], head.k.weight.data[0, 0] = 8.0, 4.0
    if planted:
        for who, _, out in PLANTED:
            head.v.weight.data[out, who] = 3.0
    head.o.weight.data[n:, :n] = torch.eye(n)
    network.head.weight.data[:, n:] = torch.eye(n)
    network.head.weight.data[THAT + 1 : THAT + 4, THAT] = 4.0
    return models.bridge(network, None, "by hand")
