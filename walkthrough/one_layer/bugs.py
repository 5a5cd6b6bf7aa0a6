"""Skip-trigram bugs: what two tables must say wrongly, found in a model's weights, in its text and in its runs."""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import torch
from einops import einsum
from jaxtyping import Bool, Float, Int
from torch import Tensor

from walkthrough.circuits import centred, ov_circuit, qk_circuit
from walkthrough.models import check_head
from walkthrough.searches import relative_to


def fourth_entry(right: float, other_right: float, crossed: float) -> float:
    """The other crossed pair's entry in what one head adds for one source, given three of the four.

    All in logits; `crossed` must not be 0. The table of four is an outer product, so its two
    diagonals have the same product (Elhage et al. 2021, "Skip-Trigram Bugs").
    """
    return right * other_right / crossed


def worst_bug(
    looks: Float[Tensor, "source destination"],
    moved: Float[Tensor, "source out"],
    counts: Int[Tensor, "source destination out"],
) -> tuple[int, int, int]:
    """The triple, never counted, that a head raises most: its source, destination and out.

    Its source and destination were counted together, with some other out (Elhage et al. 2021,
    "Skip-Trigram Bugs").
    """
    added = looks[:, :, None] * moved[:, None, :]
    together = counts.sum(-1, keepdim=True) > 0
    allowed = (counts == 0) & together
    place = added.masked_fill(~allowed, -torch.inf).argmax()
    source, destination, out = torch.unravel_index(place, counts.shape)
    return source.item(), destination.item(), out.item()


class Triples(NamedTuple):
    """Sources, destinations and outs, one of each for a triple, as token ids; and how often each was expected."""

    source: Int[Tensor, " triple"]
    destination: Int[Tensor, " triple"]
    out: Int[Tensor, " triple"]
    expected: Float[Tensor, " triple"]

    def pick(self, which: Int[Tensor, " some"]) -> "Triples":
        """Some of the triples."""
        return Triples(*(part[which] for part in self))


def follows_within(
    rows: Int[Tensor, "row pos"], source: int, within: int = 20
) -> Bool[Tensor, "row pos"]:  # fmt: skip
    """Whether the source is one of the `within` tokens before each position, in the same row."""
    so_far = torch.nn.functional.pad((rows == source).cumsum(1, dtype=torch.int32), (within + 1, 0))
    before = so_far[:, within : within + rows.shape[1]]  # in all positions before this one
    return before > so_far[:, : rows.shape[1]]


def never_together(
    rows: Int[Tensor, "row pos"], file: Int[Tensor, " row"], counts: Int[Tensor, "first second"],
    sources: Int[Tensor, " source"], seen: int = 100, expected: float = 10.0, within: int = 20,
) -> Triples:  # fmt: skip
    """Triples (source, destination, out) that the rows never show, though each half of them is frequent.

    The out follows the destination `seen` times or more in `counts`; in the rows, never where the source is one of the
    `within` tokens before the destination. That would be expected `expected` times or more, were source and out
    independent, by the smaller of two counts. Places: those of the destination after the source, times the out's share
    of what follows the destination. Files: those with a destination after the source, times the share of the files
    with the destination in which the out follows it; for a file may say one thing many times. `<BOS>` is left out.
    """
    common = counts >= seen
    common[0] = False
    first, second = common.nonzero(as_tuple=True)
    number = torch.full(counts.shape, len(first)).masked_scatter(common, torch.arange(len(first)))
    now, following = rows[:, :-1].long(), number[rows[:, :-1].long(), rows[:, 1:].long()]
    n_files, d_vocab = int(file.max()) + 1, len(counts)
    tokens, pairs, in_file = now.flatten(), following.flatten(), file.repeat_interleave(now.shape[1])
    pairs_in_files = torch.unique(pairs * n_files + in_file) // n_files
    with_pair = pairs_in_files.bincount(minlength=len(first) + 1)[: len(first)]
    share = with_pair / _in_files(tokens, in_file, d_vocab, n_files)[first].clamp_min(1)
    rate, found = counts[first, second] / counts.sum(1)[first], []
    for source in sources.tolist():
        near = follows_within(now, source, within).flatten().nonzero()[:, 0]
        here = tokens[near]
        files = _in_files(here, in_file[near], d_vocab, n_files)[first] * share
        wanted = torch.minimum(files, here.bincount(minlength=d_vocab)[first] * rate)
        missing = pairs[near].bincount(minlength=len(first) + 1)[: len(first)] == 0
        which = (missing & (wanted >= expected)).nonzero()[:, 0]
        found.append((torch.full_like(which, source), first[which], second[which], wanted[which]))
    return Triples(*(torch.cat(part) for part in zip(*found)))


def _in_files(
    tokens: Int[Tensor, " place"], file: Int[Tensor, " place"], d_vocab: int, n_files: int
) -> Int[Tensor, " d_vocab"]:
    """In how many files each token occurs."""
    there = torch.zeros(d_vocab, n_files, dtype=torch.bool)
    there[tokens, file] = True
    return there.sum(1)


def strength(model, triples: Triples) -> Float[Tensor, "head triple"]:
    """What the tables of each head of a one-layer model add to each triple, in logits: its skip-trigram score.

    With `<BOS>` and the source to look at. Raises ValueError for a model without layers.
    """
    check_head(model, 0)
    added = []
    for head in range(model.cfg.n_heads):
        qk, ov = relative_to(qk_circuit(model, 0, head)), centred(ov_circuit(model, 0, head))
        looks = (qk.A[triples.destination] * qk.B[:, triples.source].T).sum(-1).sigmoid()
        added.append(looks * (ov.A[triples.source] * ov.B[:, triples.out].T).sum(-1))
    return torch.stack(added)


def count_together(
    rows: Int[Tensor, "row pos"], triples: Triples, within: int = 20
) -> tuple[Int[Tensor, " triple"], Int[Tensor, " triple"]]:
    """How often each triple occurs in rows, and how often its source and destination do, whatever follows them."""
    found = []
    for source, destination, out in zip(*(part.tolist() for part in triples[:3])):
        at = follows_within(rows[:, :-1], source, within) & (rows[:, :-1] == destination)
        found.append(torch.stack([(rows[:, 1:][at] == out).sum(), at.sum()]))
    return tuple(torch.stack(found).T)


def have_partners(
    rows: Int[Tensor, "row pos"], counts: Int[Tensor, "first second"], triples: Triples, least: int = 20,
    times: float = 2.0, within: int = 20,
) -> Bool[Tensor, " triple"]:  # fmt: skip
    """Whether the out is right after another destination: `least` times in rows, and `times` as often as bigrams say.

    That is, where the source is one of the `within` tokens before.
    """
    now, found = rows[:, :-1].long(), []
    for source, out in zip(triples.source.tolist(), triples.out.tolist()):
        near = follows_within(now, source, within)
        hits = now[near & (rows[:, 1:] == out)].bincount(minlength=len(counts))
        expected = now[near].bincount(minlength=len(counts)) * counts[:, out] / counts.sum(1).clamp_min(1)
        found.append(((hits >= least) & (hits >= times * expected)).any())
    return torch.stack(found)


def one_for_each_source(triples: Triples, order: Int[Tensor, " triple"], n: int) -> Triples:
    """The first `n` triples of an order that have different sources."""
    first, kept = set(), []
    for which in order.tolist():
        source = triples.source[which].item()
        if source not in first and len(kept) < n:
            first.add(source)
            kept.append(which)
    return triples.pick(torch.tensor(kept))


def in_text(
    model, source: int, destination: int, rows: Int[Tensor, "row pos"], pool: Int[Tensor, " choice"],
    n_contexts: int = 32, length: int = 32, within: int = 20, seed: int = 0,
) -> tuple[Float[Tensor, "2 context d_vocab"], Int[Tensor, " context"]]:  # fmt: skip
    """Log-probabilities after the destination where rows have the source before it; and the token that followed.

    First as the text is, then with the source resample-ablated: each occurrence is made a random token of `pool`. At
    most `n_contexts` places; a context is `<BOS>` and the `length` - 1 tokens up to the destination. Raises ValueError
    if there is no such place.
    """
    generator = torch.Generator().manual_seed(seed)
    at = follows_within(rows[:, :-1], source, within) & (rows[:, :-1] == destination)
    at[:, : length - 1] = False
    row, pos = at.nonzero(as_tuple=True)
    if not len(row):
        raise ValueError(f"no row has token {source} within {within} tokens before token {destination}")
    some = torch.randperm(len(row), generator=generator)[:n_contexts]
    row, pos = row[some], pos[some]
    prompts = rows[row[:, None], pos[:, None] + torch.arange(1 - length, 1)].long()
    prompts[:, 0] = 0
    swapped, there = prompts.clone(), prompts[:, :-1] == source
    random = pool[torch.randint(len(pool), there.shape, generator=generator)]
    swapped[:, :-1] = torch.where(there, random, prompts[:, :-1])
    last = [("unembed.hook_in", lambda resid, hook: resid[:, -1:])]  # logits of other positions are not needed
    runs = [model.run_with_hooks(tokens, fwd_hooks=last)[:, 0].log_softmax(-1) for tokens in (prompts, swapped)]
    return torch.stack(runs), rows[row, pos + 1].long()


def contexts(n_sources: int, most: int) -> Bool[Tensor, "context source"]:
    """Every set of at most `most` sources, one a row; column 0 is `<BOS>`, which is always there."""
    sets = [chosen for size in range(most + 1) for chosen in itertools.combinations(range(1, n_sources + 1), size)]
    return torch.tensor([[source == 0 or source in chosen for source in range(n_sources + 1)] for chosen in sets])


def skip_trigram_logits(
    direct: Float[Tensor, "*batch destination out"], table: Float[Tensor, "*batch source destination out"],
    present: Bool[Tensor, "context source_and_BOS"],
) -> Float[Tensor, "*batch context destination out"]:  # fmt: skip
    """Logits of a table that has an entry for each triple: every source in the context adds its own."""
    added = einsum(present[:, 1:].to(table.dtype), table, "context source, ... source d o -> ... context d o")
    return direct[..., None, :, :] + added


def factored_logits(
    direct: Float[Tensor, "*batch destination out"], scores: Float[Tensor, "*batch head destination source"],
    moved: Float[Tensor, "*batch head source out"], present: Bool[Tensor, "context source"],
) -> Float[Tensor, "*batch context destination out"]:  # fmt: skip
    """Logits of a one-layer model whose heads' QK (`scores`) and OV (`moved`) are free tables, as is the direct path.

    A head's softmax is over the sources that are there, `<BOS>` among them (column 0); destinations do not attend to
    themselves, and there are no positions (Elhage et al. 2021, "One-Layer Attention-Only Transformers").
    """
    pattern = scores[..., None, :, :].masked_fill(~present[:, None, :], -torch.inf).softmax(-1)
    heads = einsum(pattern, moved, "... head context d source, ... head source o -> ... context d o")
    return direct[..., None, :, :] + heads


def fit(
    logits: Callable[..., Tensor], parameters: list[Tensor], log_probs: Tensor, steps: int = 600, lr: float = 0.1
) -> tuple[Tensor, Tensor]:
    """Cost, in nats above the entropy, and log-probabilities after Adam on the exact expected loss.

    `log_probs` [... context destination out] is the language; contexts and destinations are equally likely.
    """
    probs, entropy = log_probs.exp(), -(log_probs.exp() * log_probs).sum(-1).mean((-1, -2))
    free = [parameter.clone().requires_grad_() for parameter in parameters]
    optimiser = torch.optim.Adam(free, betas=(0.9, 0.99))
    with torch.enable_grad():
        for step in range(steps):
            optimiser.param_groups[0]["lr"] = lr * (1 - step / steps)
            optimiser.zero_grad()
            loss = -(probs * logits(*free).log_softmax(-1)).sum(-1).mean((-1, -2))
            loss.sum().backward()
            optimiser.step()
    guess = logits(*free).log_softmax(-1).detach()
    return -(probs * guess).sum(-1).mean((-1, -2)) - entropy, guess


def fit_heads(
    log_probs: Float[Tensor, "language context destination out"], present: Bool[Tensor, "context source"],
    n_heads: int, restarts: int = 3, steps: int = 600, seed: int = 0,
) -> tuple[Float[Tensor, " language"], Float[Tensor, "language context destination out"]]:  # fmt: skip
    """Cost in nats, and log-probabilities, of the best of some fits of `factored_logits`: an upper bound on the least."""
    generator = torch.Generator().manual_seed(seed)
    n_languages, _, n_destinations, n_outs = log_probs.shape
    n_sources = present.shape[1]
    shapes = (n_destinations, n_outs), (n_heads, n_destinations, n_sources), (n_heads, n_sources, n_outs)
    start = [torch.randn(n_languages, restarts, *shape, generator=generator).to(log_probs) for shape in shapes]
    cost, guess = fit(lambda *free: factored_logits(*free, present), start, log_probs[:, None], steps)
    best = cost.min(1)
    return best.values, guess[torch.arange(n_languages), best.indices]


def cost_of_bigrams(log_probs: Float[Tensor, "*batch context destination out"]) -> Float[Tensor, "*batch"]:
    """Cost in nats of knowing the destination only, exactly: what the context tells about the next token."""
    mean = log_probs.exp().mean(-3, keepdim=True)
    return (log_probs.exp() * (log_probs - mean.log())).sum(-1).mean((-1, -2))
