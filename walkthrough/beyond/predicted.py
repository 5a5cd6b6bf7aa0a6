"""What the view of tokens as particles predicts of trained models, with bounds that were written down before the runs.

This file was committed before `walkthrough.beyond.forces` measured anything, and its bounds are not changed afterwards.
One thing was known already: an earlier trial had found mean cosines of 0.07, 0.12 and 0.16 in the two-layer model, so
"rise" is no blind prediction. What came of each is in `walkthrough.beyond.outcomes.predictions`.

The view (Geshkovski, Letrouit, Polyanskiy, Rigollet, arXiv 2312.10794) has every head pull each token towards those
that it attends to: W_OV is the identity, or near enough, and W_Q W_K^T is positive, so that like attends to like. What
follows is what it says if that is taken at its word.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Prediction:
    """A claim, how it is measured, and the bound that the measured number must keep for the claim to hold."""

    name: str
    claim: str
    measure: str
    at_least: float | int | None = None
    at_most: float | int | None = None
    of_weights: bool = False  # then the text makes no difference

    @property
    def limit(self) -> float | int:
        """The bound as a number."""
        return self.at_least if self.at_most is None else self.at_most

    def holds(self, measured: float) -> bool:
        """Whether the number keeps the bound."""
        return measured >= self.at_least if self.at_most is None else measured <= self.at_most

    @property
    def bound(self) -> str:
        """The bound in words."""
        return f"at least {self.at_least:g}" if self.at_most is None else f"at most {self.at_most:g}"


PREDICTIONS = (
    Prediction(
        "rise",
        "Tokens come closer in every layer.",
        "of 8 texts, how many in which each layer of the two-layer model raises the mean cosine of its tokens",
        at_least=7,
    ),
    Prediction(
        "steady rise",
        "Where one layer is applied again and again, tokens come closer every time.",
        "share of the 12 steps of the shared-weights model, over 8 texts, that raise the mean cosine",
        at_least=0.9,
    ),
    Prediction(
        "one cluster",
        "So many steps lead to one cluster.",
        "mean cosine after the last step of the shared-weights model, over 8 texts",
        at_least=0.5,
    ),
    Prediction(
        "equiangular",
        "The rise follows the equation of tokens at equal angles, with some beta and some length of a step.",
        "largest error of the mean cosine in steps 7 to 12, for an equation fitted to steps 0 to 6",
        at_most=0.05,
    ),
    Prediction(
        "positive attracts",
        "A head whose W_OV has positive eigenvalues pulls tokens together, one with negative ones apart.",
        "rank correlation, over all heads of the shipped models, of the eigenvalue positivity of W_OV in the "
        "stream with the change of the mean cosine when the head's output alone is added",
        at_least=0.5,
    ),
    Prediction(
        "copying attracts",
        "A head that copies, in the vocabulary, pulls tokens together.",
        "the same with the copying score, the eigenvalue positivity of W_E W_OV W_U",
        at_least=0.5,
    ),
    Prediction(
        "without repulsion",
        "Without its most repelling head, a model's tokens end closer together.",
        "change of the mean cosine at the end of the two-layer model when the head of the most negative "
        "positivity is deleted",
        at_least=0.005,
    ),
    Prediction(
        "without attraction",
        "Without its most attracting head, they end further apart.",
        "the same for the head of the most positive one",
        at_most=-0.005,
    ),
    Prediction(
        "no order",
        "A cloud of particles has no order: shuffled text draws together as text does.",
        "relative change of the rise in the two-layer model when the tokens of each text are shuffled, in "
        "absolute value",
        at_most=0.2,
    ),
    Prediction(
        "previous token attracts",
        "A head that looks at the previous token pulls each token towards the one before it.",
        "gain of the cosine of a token with the one before it, less the mean gain with all earlier ones, when"
        " the output of the two-layer model's strongest previous-token head is added",
        at_least=0.05,
    ),
    Prediction(
        "long bond",
        "An induction head is a bond over any distance, not a force between neighbours.",
        "least share of the strongest induction head's force that comes from the distance at which random "
        "tokens are said again, over copies of 20, 40 and 60 tokens",
        at_least=0.5,
    ),
    Prediction(
        "like attends to like",
        "The kernel W_Q W_K^T is positive, as in the theorems.",
        "mean eigenvalue positivity of its symmetric part, over the heads of the two-layer model",
        at_least=0.2,
        of_weights=True,
    ),
)
