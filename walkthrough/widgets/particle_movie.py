"""A film of tokens as particles that one can scrub."""

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from walkthrough import figures
from walkthrough.widgets.page import CSS, STATIC, Page, table

STILLS, ROWS = 4, 12  # moments of the still picture, and rows of its table


class ParticleMovie(Page):
    """Tokens on a circle or a sphere, a slider over time, a button that plays it, and curves with a marker.

    `films` maps a name to points [time, token, dim] on the unit sphere in 2 or 3 dimensions, all at the same `times`;
    `curves` maps the same names to numbers over time by their names, such as the count of clusters and the energy. Of a
    sphere the front is shown; tokens behind are hollow. What does not fit is said in one sentence in the film's place.
    """

    name = "Particle film"
    shows = "tokens that attention pulls together, at several times"
    script = "particles.js"
    entry = "project"
    css = CSS + (STATIC / "particles.css").read_text("utf-8")

    def __init__(
        self, times: Float[np.ndarray, " time"], films: Mapping[str, np.ndarray], *,
        curves: Mapping[str, Mapping[str, Any]] | None = None, **view: Any,
    ) -> None:  # fmt: skip
        self.films = dict(films)
        try:
            data = self.stored(np.asarray(times, float), curves or {})
        except ValueError as refusal:
            data = {"error": str(refusal)}
        super().__init__(data, **view)

    def stored(self, times: np.ndarray, curves: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """What the page reads: coordinates in 255 steps; ValueError if something does not fit."""
        if not self.films or not len(times):
            raise ValueError("there is no film to show: give one or more, with one time or more")
        made = {}
        for name, x in self.films.items():
            if x.ndim != 3 or len(x) != len(times) or x.shape[2] not in (2, 3):
                raise ValueError(
                    f"the film {name!r} has shape {list(x.shape)}: give [time, token, dim], with {len(times)} times "
                    "and 2 or 3 dimensions"
                )
            if not np.isfinite(x).all() or abs(x).max() > 1 + 1e-6:
                raise ValueError(f"the film {name!r} has points off the unit sphere: divide each by its length")
            raw = np.round((x.clip(-1, 1) + 1) * 127.5).astype(np.uint8).tobytes()
            made[name] = {"tokens": x.shape[1], "dims": x.shape[2], "points": base64.b64encode(raw).decode()}
        drawn = {film: {name: self.numbers(values) for name, values in of.items()} for film, of in curves.items()}
        for film, of in drawn.items():
            for name, values in of.items():
                if film not in made or len(values) != len(times):
                    raise ValueError(
                        f"the curve {name!r} of {film!r} does not fit: give each film's curves a number a time"
                    )
        return {"times": times.tolist(), "order": list(made), "films": made, "curves": drawn}

    @staticmethod
    def numbers(values: Any) -> list[int | float]:
        """Whole numbers as they are, others with four digits."""
        whole = np.issubdtype(np.asarray(values).dtype, np.integer)
        return [int(value) if whole else float(f"{value:.4g}") for value in values]

    def heard(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        """A film asks nothing."""

    def chosen(self) -> tuple[str, np.ndarray]:
        """The film that is shown, and moments of it: evenly spread, up to the chosen time if one was chosen."""
        if "error" in self.data:
            raise ValueError(self.data["error"])
        name = self.view.get("film")
        name = name if name in self.films else self.data["order"][0]
        last = len(self.data["times"]) - 1
        at = self.view.get("at")
        until = at if isinstance(at, int) and 0 < at <= last else last
        return name, np.unique(np.linspace(0, until, STILLS).round().astype(int))

    def still(self) -> list[Axes]:
        """A few moments side by side."""
        name, at = self.chosen()
        return figures.particles.moments(self.films[name][at], [f"time {self.data['times'][i]:.3g}" for i in at])

    def described(self) -> str:
        """What the still figure shows, with the numbers at its first and last moment."""
        name, at = self.chosen()
        said = "".join(
            f" {curve}: {values[at[0]]:.4g} at first, {values[at[-1]]:.4g} at last."
            for curve, values in self.data["curves"].get(name, {}).items()
        )
        times = ", ".join(f"{self.data['times'][i]:.3g}" for i in at)
        return f"{self.films[name].shape[1]} tokens ({name}) on their sphere at the times {times}.{said}"

    def tables(self) -> str:
        """For each film, the curves at up to a dozen times, and how long the tokens' mean is."""
        made, times = [], self.data["times"]
        rows = np.unique(np.linspace(0, len(times) - 1, ROWS).round().astype(int))
        for name, x in self.films.items():
            curves = self.data["curves"].get(name, {})
            shown = [
                [f"{times[i]:.3g}", *(f"{of[i]:.4g}" for of in curves.values()), f"{self.together(x[i]):.3f}"]
                for i in rows
            ]
            made.append(table(name, ["time", *curves, "length of the mean"], shown))
        return "".join(made)

    @staticmethod
    def together(points: np.ndarray) -> float:
        """The length of the tokens' mean: 1 for a single point."""
        return float(np.linalg.norm(points.mean(0)))

    def __repr__(self) -> str:
        return f"ParticleMovie({self.data.get('error') or ', '.join(map(repr, self.films))})"
