"""Skip-trigrams `source … destination → out`: their strength in the weights, their effect in runs, and the verdict."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from walkthrough.architecture import SCORING, STREAM, leaves_out
from walkthrough.circuits import ov_circuit, qk_circuit
from walkthrough.models import check_head
from walkthrough.searches import relative_to


class SkipTrigram(NamedTuple):
    """`source`, somewhere before, makes `destination` expect one of `outs`: texts, each one token of the model."""

    source: str
    destination: str
    outs: tuple[str, ...]
    origin: str = ""

    def __str__(self) -> str:
        return f"{self.source!r} … {self.destination!r} → {' '.join(map(repr, self.outs))}"

    def ids(self, model) -> tuple[int, int, list[int]]:
        """Token ids of source, destination and outs; ValueError for a text that is not one token of the model."""
        source, destination, *outs = map(model.to_single_token, (self.source, self.destination, *self.outs))
        return source, destination, outs


ROWS = (  # "paper": of its tables; "adapted": said with tokens that we have; "lab": an earlier run of ours showed it
    SkipTrigram("\n" + 11 * " ", "\n" + 7 * " ", (" else", " elif", " except"), "adapted"),  # last space: in the word
    SkipTrigram(" open", ' "', ("r", "w"), "adapted"),
    SkipTrigram(" def", "(", ("self",), "paper"),
    SkipTrigram(" super", ")", (".__",), "adapted"),
    SkipTrigram(" for", " in", (" range", " enumerate", " sorted", " zip"), "paper"),
    SkipTrigram("upper", ".", ("upper", "lower"), "paper"),
    SkipTrigram("datetime", ".", ("date", "time", "now"), "paper"),
    SkipTrigram("np", ".", ("array", "zeros", "arange"), "adapted"),
    SkipTrigram("torch", ".", ("Tensor", "nn", "zeros"), "adapted"),
    SkipTrigram("%", '"', (" %",), "adapted"),
    SkipTrigram("('", "name", ("')",), "paper"),  # the paper's X is any token: here a common word
    SkipTrigram('["', "name", ('"]',), "adapted"),
    SkipTrigram("lambda", "=", ("lambda",), "adapted"),
    SkipTrigram(" with", '")', (" as",), "lab"),
    SkipTrigram(" isinstance", ",", (" str", " int"), "lab"),
    SkipTrigram("pytest", ".", ("raises", "skip"), "lab"),
    SkipTrigram(" except", ":", (" as",), "lab"),
    SkipTrigram("height", "_", ("width",), "lab"),
)
ABSENT = ("rb", "wb", "tqdm", ").__", '"%', "**)", "tf", "QtWidgets", "pygame")  # in the paper's rows, no token of ours


@leaves_out(*STREAM, *SCORING, "value_biases", "logits")
def skip_trigram_score(
    qk, ov, source: int, destination: int, outs: list[int]
) -> Float[Tensor, ""]:  # fmt: skip
    """What the source adds to outs through this head, if the head sees only source and <BOS>.

    What <BOS> itself adds is left out. `qk` and `ov` are the head's circuits. Attention to the
    source is the sigmoid of its QK entry less that of <BOS> (token 0), positions left out. It is
    multiplied by the mean OV entry of the outs, less the mean of the source's row. In logits
    (Elhage et al. 2021, "Skip-Trigrams").
    """
    log_odds = qk.A[destination] @ (qk.B[:, source] - qk.B[:, 0])
    attention = log_odds.sigmoid()
    logits = ov.A[source] @ ov.B
    return attention * (logits[outs].mean() - logits.mean())


@leaves_out(*STREAM, *SCORING, "value_biases", "logits")
def strengths(
    model, source: Int[Tensor, " pair"], destination: Int[Tensor, " pair"], outs: Int[Tensor, "choice out"],
    layer: int = 0,
) -> Float[Tensor, "head pair choice"]:  # fmt: skip
    """The `skip_trigram_score` of each head of a layer, for many pairs and many choices of outs at once.

    Raises ValueError for a layer that the model does not have (Elhage et al. 2021, "Interpretation as Skip-Trigrams").
    """
    return _scores(_all_circuits(model, layer), source, destination, outs)


def _all_circuits(model, layer: int = 0) -> list[tuple]:
    """QK relative to <BOS>, and OV, of each head of a layer."""
    check_head(model, layer)
    heads = range(model.cfg.n_heads)
    return [(relative_to(qk_circuit(model, layer, head)), ov_circuit(model, layer, head)) for head in heads]


def _scores(heads, source, destination, outs):
    """As `strengths`, from circuits."""
    added = []
    for qk, ov in heads:
        log_odds = (qk.A[destination] * qk.B[:, source].T).sum(-1)
        moved = ov.A[source] @ (ov.B[:, outs].mean(-1) - ov.B.mean(-1, keepdim=True))
        added.append(log_odds.sigmoid()[:, None] * moved)
    return torch.stack(added)


class Weighed(NamedTuple):
    """The strongest head, its score and that of all heads together, and the shares of random tokens that score as high.

    Each share has one part of the skip-trigram replaced: the source, the destination, or the outs.
    """

    head: int
    score: float
    all_heads: float
    p_source: float
    p_destination: float
    p_out: float


@leaves_out(*STREAM, *SCORING, "value_biases", "logits")
def weigh(
    model, source: int, destination: int, outs: list[int], pool: Int[Tensor, " choice"], seed: int = 0
) -> Weighed:
    """A skip-trigram's score in its best head, against the best heads of others with tokens of `pool` put in.

    A share counts the skip-trigram itself. Outs are replaced by random sets of the same size. Each is in its own best
    head, so there is nothing to correct for.
    """
    generator = torch.Generator().manual_seed(seed)
    sources, destinations = (torch.cat([torch.tensor([part]), pool[pool != part]]) for part in (source, destination))
    shuffled = torch.stack([pool[torch.randperm(len(pool), generator=generator)] for _ in outs], -1)
    own, heads = torch.tensor([outs]), _all_circuits(model)
    choices = torch.cat([own, shuffled[(shuffled != own).any(-1)]])
    by_source = _scores(heads, sources, torch.full_like(sources, destination), own)[:, :, 0]
    by_destination = _scores(heads, torch.full_like(destinations, source), destinations, own)[:, :, 0]
    by_out = _scores(heads, sources[:1], destinations[:1], choices)[:, 0]
    best = [scores.amax(0) for scores in (by_source, by_destination, by_out)]
    shares = [(scores >= scores[0] - 1e-6).float().mean().item() for scores in best]
    scores = by_source[:, 0]
    return Weighed(scores.argmax().item(), scores.max().item(), scores.sum().item(), *shares)


def with_and_without(
    model, source: int, destination: int | Int[Tensor, " context"], windows: Int[Tensor, "window pos"],
    pool: Int[Tensor, " choice"], n_contexts: int = 200, length: int = 32, seed: int = 0,
) -> Float[Tensor, "2 context d_vocab"]:  # fmt: skip
    """Log-probabilities in nats after the destination, with the source 3 to 20 tokens before it, and without it.

    Each context is the start of another window that lacks the source; its last token is made the destination (one for
    all, or one for each), and an earlier one the source, or, without it, a random token of `pool`. Raises ValueError
    for too few windows.
    """
    prompts = windows[(windows[:, :length] != source).all(1), :length].long()
    if len(prompts) < n_contexts or not 21 < length <= windows.shape[1]:
        have = f"{len(prompts)} windows of {windows.shape[1]} tokens lack the source"
        raise ValueError(f"{have}: pass at least {n_contexts}, a length above 21, and windows no shorter than that")
    generator = torch.Generator().manual_seed(seed)
    prompts = prompts[torch.randperm(len(prompts), generator=generator)[:n_contexts]]
    prompts[:, -1] = destination
    place = length - 1 - torch.randint(3, 21, (n_contexts,), generator=generator)
    pool = pool[pool != source]
    others = pool[torch.randint(len(pool), (n_contexts,), generator=generator)]
    last = [("unembed.hook_in", lambda resid, hook: resid[:, -1:])]  # logits of other positions are not needed
    log_probs = []
    for token in (torch.full_like(others, source), others):
        prompts[torch.arange(n_contexts), place] = token
        log_probs.append(model.run_with_hooks(prompts, fwd_hooks=last)[:, 0].log_softmax(-1))
    return torch.stack(log_probs)


def rise(
    with_source: Float[Tensor, "context d_vocab"],
    without: Float[Tensor, "context d_vocab"],
    outs: list[int],
) -> Float[Tensor, " context"]:
    """By how many nats log P(one of outs) is higher with the source than without it.

    The inputs are log-probabilities. The probability of "one of outs" is the sum of theirs.
    """
    return with_source[:, outs].logsumexp(-1) - without[:, outs].logsumexp(-1)


def effect(
    model, source: int, destination: int | Int[Tensor, " context"], outs: list[int],
    windows: Int[Tensor, "window pos"], pool: Int[Tensor, " choice"], n_contexts: int = 200, length: int = 32,
    seed: int = 0,
) -> Float[Tensor, " context"]:  # fmt: skip
    """By how many nats the source, more than a random token of `pool`, raises log P(one of outs) at the destination.

    Contexts are as in `with_and_without`.
    """
    return rise(*with_and_without(model, source, destination, windows, pool, n_contexts, length, seed), outs)


def effect_elsewhere(
    model, source: int, destination: int, outs: list[int], windows: Int[Tensor, "window pos"],
    pool: Int[Tensor, " choice"], n_contexts: int = 200, n_destinations: int = 10, seed: int = 0,
) -> Float[Tensor, "destination context"]:  # fmt: skip
    """The same effect in the same contexts, with random tokens of `pool` put in the destination's place.

    Each of `n_destinations` tokens takes its share of the contexts. Raises ValueError if they cannot share equally.
    """
    if n_contexts % n_destinations:
        raise ValueError(f"{n_contexts} contexts cannot be shared by {n_destinations} destinations: take a multiple")
    others = pool[(pool != destination) & (pool != source)]
    chosen = others[torch.randperm(len(others), generator=torch.Generator().manual_seed(seed))[:n_destinations]]
    each = n_contexts // n_destinations
    effects = effect(model, source, chosen.repeat_interleave(each), outs, windows, pool, n_contexts, seed=seed)
    return effects.view(n_destinations, each)


class Tested(NamedTuple):
    """A skip-trigram in the weights; its effect in each context; and the effect at random destinations instead."""

    weighed: Weighed
    effects: Float[Tensor, " context"]
    elsewhere: Float[Tensor, "destination context"]

    @property
    def contexts_won(self) -> float:
        """In what share of contexts the source beats a random token."""
        return (self.effects > 0).double().mean().item()

    @property
    def destinations_won(self) -> float:
        """Which share of the random destinations is beaten: a smaller mean effect, in the same contexts."""
        here = self.effects.view_as(self.elsewhere).mean(1)
        return (here > self.elsewhere.mean(1)).double().mean().item()

    @property
    def verdict(self) -> str:
        """ "found" if weights and runs both say so; else "weights only", "runs only" or "not found".

        Weights: at most 1 random token in 20 does as well, in each of the three parts. Runs: the source beats a random
        token in 9 contexts of 10, and the destination beats 9 random destinations of 10.
        """
        weights = max(self.weighed.p_source, self.weighed.p_destination, self.weighed.p_out) <= 0.05
        runs = min(self.contexts_won, self.destinations_won) >= 0.9
        return {(1, 1): "found", (1, 0): "weights only", (0, 1): "runs only", (0, 0): "not found"}[weights, runs]


@leaves_out(*STREAM, *SCORING, "value_biases", "logits")
def examine(
    model, source: int, destination: int, outs: list[int], windows: Int[Tensor, "window pos"],
    pool: Int[Tensor, " choice"], n_contexts: int = 200,
) -> Tested:  # fmt: skip
    """A skip-trigram in the weights and in runs, each beside the same with its parts replaced by tokens of `pool`."""
    ids = source, destination, outs
    return Tested(
        weigh(model, *ids, pool),
        effect(model, *ids, windows, pool, n_contexts),
        effect_elsewhere(model, *ids, windows, pool, n_contexts),
    )
