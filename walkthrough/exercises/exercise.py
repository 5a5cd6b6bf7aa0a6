"""The form of an exercise."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Exercise:
    """An oracle, inputs without symmetries that a wrong answer could hide behind, and the classic mistakes.

    `oracle` computes the answer the slow, obvious way; nothing is compared with a stored answer. `mistakes` maps
    the sentence that a learner should read to a function that computes what that mistake gives. Where many answers
    are right, `judge(answer, *inputs)` replaces the oracle and returns what is wrong, or None. `crashes` maps a part of the
    error that a classic mistake stops with to the sentence that says what it was. `limit(attempt)` has the last word on a
    right answer: what it exceeds, such as the size of a table (see `limits`), or None.
    """

    cases: Callable[[], list[tuple]]
    oracle: Callable[..., Any] | None = None
    mistakes: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    judge: Callable[..., str | None] | None = None
    crashes: Mapping[str, str] = field(default_factory=dict)
    limit: Callable[[Any], str | None] | None = None
