"""A widget that is also a page: alive where no kernel runs, over a still picture for where no script does."""

import base64
import hashlib
import html
import io
import json
import re
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import anywidget
import matplotlib.pyplot as plt
import traitlets
from matplotlib.axes import Axes
from PIL import Image

from walkthrough.widgets.either import MISSING, either

STATIC = Path(__file__).parent / "static"
CSS = (STATIC / "explorer.css").read_text("utf-8")


def slim(script: str) -> str:
    """A script of static/ without comments and indentation: every notebook and page carries it, twice in a saved one."""
    bare = re.sub(r"^\s*/\*\*.*?\*/\n", "", script, flags=re.DOTALL | re.MULTILINE)
    bare = re.sub(r"(^|  )//.*$", "", bare, flags=re.MULTILINE)
    return re.sub(r"^\s+", "", bare, flags=re.MULTILINE)


SHARED = "\n".join(slim((STATIC / name).read_text("utf-8")) for name in ("elements.js", "asking.js", "explorer.js"))
# The same explorer may be on a page twice: each script takes a place that none has taken, with the state beside it.
START = """const place = document.querySelector("[data-explorer=" + {id} + "]:not([data-taken])");
place.dataset.taken = "";
{entry}({{ model: stored(JSON.parse(place.nextElementSibling.textContent)), el: place }}, draw, {name});"""
HOW = (
    "This is a still picture of the {name}, which shows {shows}. To bring it alive in JupyterLab, run the notebook "
    "(Run › Run All Cells), or trust it (Trust Notebook in the command palette). On the course's site it needs no kernel, "
    "only scripts, and a browser of the last few years."
)
DPI, CSS_DPI = 144, 96  # a picture has more pixels than places on the page: screens of today show them


def pack(data: dict[str, Any]) -> str:
    """Text that `unpack` of explorer.js reads: JSON, compressed, in base64."""
    return base64.b64encode(zlib.compress(json.dumps(data, ensure_ascii=False).encode())).decode()


def table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A plain table as HTML; the first column names the rows."""
    head = "".join(f'<th scope="col">{html.escape(column)}</th>' for column in columns)
    body = "".join(
        f'<tr><th scope="row">{html.escape(first)}</th>{"".join(f"<td>{html.escape(cell)}</td>" for cell in rest)}</tr>'
        for first, *rest in rows
    )
    return (
        f"<table><caption>{html.escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


class Page(anywidget.AnyWidget):
    """An interactive figure, live in JupyterLab, and alive too in saved and exported pages.

    `data` is what the page's script reads, packed; where it holds an "error", that sentence is shown and nothing else.
    `view` holds what was chosen last.
    """

    name: ClassVar[str]  # for screen readers
    shows: ClassVar[str]  # after "This is a still picture of the …, which shows"
    script: ClassVar[str]  # in static/
    beside: ClassVar[tuple[str, ...]] = ()  # further scripts in static/, which come before it
    entry: ClassVar[str] = "explore"  # the script's function that starts
    css: ClassVar[str] = CSS
    chaotic: ClassVar[bool] = False  # whether another processor shows other numbers: then nbval compares none
    packed = traitlets.Unicode().tag(sync=True)
    view = traitlets.Dict().tag(sync=True)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        if "script" in cls.__dict__:  # anywidget makes a subclass of its own for each widget
            own = [slim((STATIC / name).read_text("utf-8")) for name in (*cls.beside, cls.script)]
            cls._script = "\n".join([SHARED, *own])
            start = f"{cls.entry}(widget, draw, {json.dumps(cls.name)})"
            cls._esm = f"{cls._script}\nexport default {{ render: (widget) => {start} }};"
            cls._css = cls.css
        super().__init_subclass__(**kwargs)

    def __init__(self, data: dict[str, Any], **view: Any) -> None:
        self.data = data
        super().__init__(packed=pack(data), view=view)
        self.on_msg(self.heard)

    def heard(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        """Answer a message of the page."""
        raise NotImplementedError

    def tables(self) -> str:
        """What is shown, as tables, for where no script runs."""
        raise NotImplementedError

    def still(self) -> Axes | list[Axes]:
        """What is chosen as a still figure; ValueError if nothing is shown."""
        raise NotImplementedError

    def described(self) -> str:
        """What is to be seen in the still figure, in a sentence or two, for whoever does not see it."""
        raise NotImplementedError

    def picture(self) -> str:
        """The still figure as an image in HTML, whatever the reader's settings of matplotlib; no figure stays open."""
        drawn, small = io.BytesIO(), io.BytesIO()
        with plt.style.context("default"), plt.ioff(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph")  # a prompt may have letters that the font has not
            axes = self.still()
            figure = (axes if isinstance(axes, Axes) else axes[0]).figure
            figure.savefig(drawn, format="png", dpi=DPI, bbox_inches="tight")
            plt.close(figure)
        image = Image.open(drawn).convert("RGB").quantize()  # 256 colours are enough, and take a third of the room
        image.save(small, "png", optimize=True)
        source = f"data:image/png;base64,{base64.b64encode(small.getvalue()).decode()}"
        alt, width = html.escape(self.described()), image.width * CSS_DPI // DPI
        return f'<img src="{source}" width="{width}" alt="{alt}"><p aria-hidden="true"><em>{alt}</em></p>'

    def inside(self) -> str:
        """What stands where no script runs: a sentence, the picture, and the tables folded below it; or what is wrong."""
        if "error" in self.data:
            return html.escape(self.data["error"])
        how = html.escape(HOW.format(name=self.name.lower(), shows=self.shows), quote=False)
        return f"<p>{how}</p>{self.picture()}<details><summary>The same as tables</summary>{self.tables()}</details>"

    def instead(self) -> str:
        """What stands where the page cannot load the widget: why, and the picture; or what is wrong."""
        if "error" in self.data:
            return html.escape(self.data["error"])
        missing = MISSING.format(what=f"the {self.name.lower()}", otherwise=f"A still picture shows {self.shows}.")
        return f"<p>{missing}</p>{self.picture()}"

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The widget, and the same alive without a kernel, over a picture and tables for where scripts are not run."""
        _, metadata = super()._repr_mimebundle_(**kwargs)  # Colab is told in it where to find anywidget
        return {**either(self, self.instead()), "text/plain": repr(self), "text/html": self.page()}, metadata

    def page(self) -> str:
        """HTML that needs neither kernel nor network."""
        state = json.dumps({"packed": self.packed, "view": self.view}).replace("<", "\\u003c")
        id = f"wt-{hashlib.sha256((self.name + repr(self)).encode()).hexdigest()[:10]}"
        start = START.format(id=json.dumps(id), name=json.dumps(self.name), entry=self.entry)
        runs = self.data.get("engine", {}).get("models", [])
        needs = " ".join(sorted({about["tokenizer"] for _, about in runs}))  # see export.with_engine
        engine = f' data-engine="{needs}"' if needs else ""
        return (
            f'<style>{self.css}</style><div data-explorer="{id}"{engine}{" data-chaotic" * self.chaotic}>'
            f'<div class="wt">{self.inside()}</div></div>'
            f'<script type="application/json" id="{id}-state">{state}</script>'
            f'<script type="module">\n{self._script}\n{start}\n</script>'
        )
