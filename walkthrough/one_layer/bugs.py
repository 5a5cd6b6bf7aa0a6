"""Skip-trigram bugs: what two tables must say wrongly, found in a model's weights, in its text and in its runs."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from walkthrough.architecture import SCORING, STREAM, bos, leaves_out
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
    """Sources, destinations and outs, one of each for a triple, as token ids; how often expected, and how often seen."""

    source: Int[Tensor, " triple"]
    destination: Int[Tensor, " triple"]
    out: Int[Tensor, " triple"]
    expected: Float[Tensor, " triple"]
    seen: Int[Tensor, " triple"]

    def pick(self, which: Int[Tensor, " some"] | Bool[Tensor, " triple"]) -> "Triples":
        """Some of the triples."""
        return Triples(*(part[which] for part in self))


def follows_within(
    rows: Int[Tensor, "row pos"], source: int, within: int = 20
) -> Bool[Tensor, "row pos"]:  # fmt: skip
    """Whether the source is one of the `within` tokens before each position, in the same row."""
    so_far = torch.nn.functional.pad((rows == source).cumsum(1, dtype=torch.int32), (within + 1, 0))
    before = so_far[:, within : within + rows.shape[1]]  # in all positions before this one
    return before > so_far[:, : rows.shape[1]]


def candidates(
    rows: Int[Tensor, "row pos"], file: Int[Tensor, " row"], counts: Int[Tensor, "first second"],
    sources: Int[Tensor, " source"], least: int = 100, expected: float = 10.0, within: int = 20,
) -> Triples:  # fmt: skip
    """Triples (source, destination, out) that should occur in the rows; `seen` says how often they do.

    The out follows the destination `least` times or more in `counts`. A triple is seen where the source is one of the
    `within` tokens before the destination; that is expected `expected` times or more, were source and out independent,
    by the smallest of three counts. Places: those of the destination after the source, times the out's share of what
    follows the destination in `counts`. The same with the share in the rows where the source is not there. Files: those
    with a destination after the source, times the share of the files with the destination in which the out follows it;
    for a file may say one thing many times. `<BOS>` is left out.
    """
    common = counts >= least
    common[0] = False
    first, second = common.nonzero(as_tuple=True)
    number = torch.full(counts.shape, len(first)).masked_scatter(common, torch.arange(len(first)))
    now, following = rows[:, :-1].long(), number[rows[:, :-1].long(), rows[:, 1:].long()]
    n_files, d_vocab = int(file.max()) + 1, len(counts)
    tokens, pairs, in_file = now.flatten(), following.flatten(), file.repeat_interleave(now.shape[1])
    pairs_in_files = torch.unique(pairs * n_files + in_file) // n_files
    how_many = lambda some: some.bincount(minlength=len(first) + 1)[: len(first)]
    share = how_many(pairs_in_files) / _in_files(tokens, in_file, d_vocab, n_files)[first].clamp_min(1)
    rate, found = counts[first, second] / counts.sum(1)[first], []
    all_pairs, all_places = how_many(pairs), tokens.bincount(minlength=d_vocab)[first]
    for source in sources.tolist():
        near = follows_within(now, source, within).flatten().nonzero()[:, 0]
        files = _in_files(tokens[near], in_file[near], d_vocab, n_files)[first] * share
        seen, places = how_many(pairs[near]), tokens[near].bincount(minlength=d_vocab)[first]
        without = (all_pairs - seen) / (all_places - places).clamp_min(1)
        wanted = torch.minimum(files, places * torch.minimum(rate, without))
        which = (wanted >= expected).nonzero()[:, 0]
        found.append((torch.full_like(which, source), first[which], second[which], wanted[which], seen[which]))
    return Triples(*(torch.cat(part) for part in zip(*found)))


def _in_files(
    tokens: Int[Tensor, " place"], file: Int[Tensor, " place"], d_vocab: int, n_files: int
) -> Int[Tensor, " d_vocab"]:
    """In how many files each token occurs."""
    there = torch.zeros(d_vocab, n_files, dtype=torch.bool)
    there[tokens, file] = True
    return there.sum(1)


@leaves_out(*STREAM, *SCORING, "value_biases", "logits")
def factors(model, head: int, source: int) -> tuple[Float[Tensor, " destination"], Float[Tensor, " out"]]:
    """f1 and f2 of one head of a one-layer model: how much each destination looks at a source, and what that adds.

    The attention with only `<BOS>` and the source to look at, positions left out; and the centred OV row, in logits.
    """
    qk, ov = relative_to(qk_circuit(model, 0, head)), centred(ov_circuit(model, 0, head))
    return (qk.A @ qk.B[:, source]).sigmoid(), ov.A[source] @ ov.B


@leaves_out(*STREAM, *SCORING, "value_biases", "logits")
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


@leaves_out(*STREAM, *SCORING, "value_biases", "logits")
def crossings(
    model, rows: Int[Tensor, "row pos"], counts: Int[Tensor, "first second"], triples: Triples, least: int = 20,
    times: float = 2.0, adds: float = 1.0, within: int = 20,
) -> Int[Tensor, "triple 3"]:  # fmt: skip
    """For each triple the head that raises it most, and the other destination and other out that make it a crossed pair.

    With the source one of the `within` tokens before, the triple's out comes `least` times or more after the other
    destination, and the other out after the triple's destination, both `times` as often as bigrams say; and that head's
    tables add `adds` logits or more to either. Of those, the most raised; -1 where there is none.
    """
    now, following, total = rows[:, :-1].long(), rows[:, 1:].long(), counts.sum(1).clamp_min(1)
    heads, found = strength(model, triples).argmax(0).tolist(), []
    for head, source, destination, out in zip(heads, *(part.tolist() for part in triples[:3])):
        looks, moved = factors(model, head, source)
        near = follows_within(now, source, within)
        before, after = now[near], following[near]
        hits = before[after == out].bincount(minlength=len(counts))
        expected = before.bincount(minlength=len(counts)) * counts[:, out] / total
        other = _most_raised(looks * moved[out], hits, expected, (least, times, adds), without=destination)
        hits = after[before == destination].bincount(minlength=len(counts))
        expected = (before == destination).sum() * counts[destination] / total[destination]
        found.append((head, other, _most_raised(looks[destination] * moved, hits, expected, (least, times, adds), out)))
    return torch.tensor(found)


def _most_raised(
    added: Float[Tensor, " token"], hits: Int[Tensor, " token"], expected: Float[Tensor, " token"],
    limits: tuple[int, float, float], without: int,
) -> int:  # fmt: skip
    """The token with the largest entry of `added`, of those that come often enough; -1 if there is none."""
    least, times, adds = limits
    right = (hits >= least) & (hits >= times * expected) & (added >= adds)
    right[without] = False
    return added.masked_fill(~right, -torch.inf).argmax().item() if right.any() else -1


def as_frequent(
    triples: Triples, group: Triples, counts: Int[Tensor, "first second"], order: Int[Tensor, " triple"]
) -> Triples:
    """For each triple of a group, another, of a source of its own, whose out is as frequent; the first in an order."""
    frequency, taken, kept = counts.sum(0).clamp_min(1).double().log(), set(), []
    members = set(zip(*(part.tolist() for part in group[:3])))
    named = list(zip(*(part.tolist() for part in triples[:3])))
    free = [which for which in order.tolist() if named[which] not in members]
    for out in group.out.tolist():
        off = (frequency[triples.out] - frequency[out]).abs().tolist()
        best = min((which for which in free if named[which][0] not in taken), key=lambda which: off[which])
        taken.add(named[best][0])
        kept.append(best)
    return triples.pick(torch.tensor(kept))


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
    prompts[:, 0] = bos(model)
    swapped, there = prompts.clone(), prompts[:, :-1] == source
    random = pool[torch.randint(len(pool), there.shape, generator=generator)]
    swapped[:, :-1] = torch.where(there, random, prompts[:, :-1])
    last = [("unembed.hook_in", lambda resid, hook: resid[:, -1:])]  # logits of other positions are not needed
    runs = [model.run_with_hooks(tokens, fwd_hooks=last)[:, 0].log_softmax(-1) for tokens in (prompts, swapped)]
    return torch.stack(runs), rows[row, pos + 1].long()
