"""What reverse engineering is measured on: the two-layer model, held-out windows, and means with their errors."""

import json
from collections.abc import Iterable
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from scipy.stats import binomtest
from torch import Tensor

from walkthrough import corpus, models

FOLDER = models.WEIGHTS / "reverse"


class Bench:
    """The two-layer model, how frequent each token is, tokens to draw from, and held-out windows in two parts.

    `share` counts tokens in the training text, `<BOS>` as never; `pool` are those seen 5,000 times or more; `letters`
    tells which hold a letter. Effects are measured in `contexts`, costs on `rows`.
    """

    def __init__(self, n_cost: int = 391):
        self.model = models.load("two-layer")
        self.share = corpus.load_bigrams().sum(1).float()
        self.share[0] = 0
        self.pool = (self.share >= 5000).nonzero()[:, 0]
        self.letters = with_letters(self.model)
        self.contexts, self.rows = split_windows(self.model, n_cost)

    def text(self, token: int) -> str:
        """A token's text."""
        return self.model.to_string(token)


def with_letters(model) -> Bool[Tensor, " d_vocab"]:
    """Which tokens hold a letter: brackets and quotes, closed by a head made for it, fill a search's list otherwise."""
    texts = [model.to_string(token) for token in range(model.cfg.d_vocab)]
    letters = [any(sign.isalpha() for sign in text) and text != models.BOS for text in texts]
    return torch.tensor(letters)


def split_windows(model, n_cost: int = 391) -> tuple[Int[Tensor, "context pos"], Int[Tensor, "window pos"]]:
    """Held-out windows, each in one of two parts: contexts for behaviour, and those on which costs are measured.

    The second has `n_cost` windows of 256 tokens each: by default 100,096 tokens.
    """
    rows = corpus.held_out(model.tokenizer.backend_tokenizer, limit=500_000).long()
    rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))]
    return rows[n_cost:], rows[:n_cost]


def mean_spread_won(values: Float[Tensor, " context"]) -> list[float]:
    """Mean, standard deviation, and the share above zero."""
    return [values.mean().item(), values.std().item(), (values > 0).float().mean().item()]


def paired_cost(after: Float[Tensor, " window"], before: Float[Tensor, " window"]) -> list[float]:
    """What a change costs in nats a token, and its standard error: of the differences, window by window."""
    difference = after - before
    return [difference.mean().item(), (difference.std() / len(difference) ** 0.5).item()]


def share_with_interval(won: Bool[Tensor, " target"]) -> list[float]:
    """The share of true ones, and the ends of its 95% interval (Wilson's, which holds near 0 and 1 too)."""
    hits, tries = int(won.sum()), len(won)
    between = binomtest(hits, tries).proportion_ci(method="wilson")
    return [hits / tries, between.low, between.high]


def four_digits(value):
    """The same with every float to four significant digits."""
    if isinstance(value, dict):
        return {key: four_digits(each) for key, each in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [four_digits(each) for each in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def write_results(found: dict, file: Path) -> None:
    """Write what was measured, to four digits; the folder is made where it is missing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(four_digits(found), ensure_ascii=False) + "\n", encoding="utf-8")


def shipped_results(name: str) -> dict:
    """What was measured, as it ships: "biases", "attacks" or "known_truth". Raises ValueError for another name."""
    names = sorted(path.stem for path in FOLDER.glob("*.json"))
    if name not in names:
        raise ValueError(f"{name!r} is not among the results that ship: take one of {', '.join(names)}")
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
