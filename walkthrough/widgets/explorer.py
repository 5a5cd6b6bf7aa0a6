"""What every explorer shares: prompts, the kernel's answers, and how it is shown where there is no kernel."""

import base64
import hashlib
import html
import io
import json
import textwrap
import warnings
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import anywidget
import matplotlib.pyplot as plt
import traitlets
from matplotlib.axes import Axes
from PIL import Image
from torch import Tensor

from walkthrough import models
from walkthrough.figures.basics import visible
from walkthrough.widgets.either import MISSING, either

STATIC = Path(__file__).parent / "static"
CSS = (STATIC / "explorer.css").read_text("utf-8")
SHARED = (STATIC / "explorer.js").read_text("utf-8")
# The same explorer may be on a page twice: each script takes a place that none has taken, with the state beside it.
START = """const place = document.querySelector("[data-explorer=" + {id} + "]:not([data-taken])");
place.dataset.taken = "";
explore({{ model: stored(JSON.parse(place.nextElementSibling.textContent)), el: place }}, draw, {name});"""
HOW = (
    "This is a still picture of the {name}, which shows {shows}. To bring it alive in JupyterLab, run the notebook "
    "(Run › Run All Cells), or trust it (Trust Notebook in the command palette). On the course's site it needs no kernel, "
    "only scripts."
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


def shown(tokens: Sequence[str]) -> list[str]:
    """Tokens with spaces and line breaks to be seen."""
    return [token.replace(r"\$", "$") for token in visible(tokens)]


def quoted(token: str) -> str:
    """A token in quotation marks, for a sentence."""
    return f"“{shown([token])[0]}”"


def excerpt(prompt: str) -> str:
    """A prompt's first words in quotation marks, for a sentence."""
    return f"“{textwrap.shorten(prompt, 60, placeholder=' …')}”"


def the_model(model: Any) -> Any:
    """The model, loaded if it is named; ValueError if it is not of the course's kind."""
    if isinstance(model, str):
        model = models.load(model)
    if not isinstance(model, models.TransformerBridge):
        raise ValueError(f"there is no model in {type(model).__name__}: give one that `models.load` gives, or its name")
    if not model.cfg.attn_only or model.cfg.normalization_type:
        raise ValueError(f"{model.cfg.model_name} has MLPs or LayerNorm: the explorers are for attention-only models")
    if model.cfg.n_layers == 0:
        raise ValueError(
            f"{model.cfg.model_name} has no layers, and so no heads to look at: give a model that has some"
        )
    if model.tokenizer is None:
        raise ValueError(
            f"{model.cfg.model_name} has no tokenizer to read a prompt with: give `models.bridge` one, for example "
            "`models.load_tokenizer()`"
        )
    return model


def within(choice: Any, count: int, otherwise: int = 0) -> int:
    """What was chosen of `count`, if there is such a one; as in the page."""
    return choice if isinstance(choice, int) and 0 <= choice < count else otherwise


def named(model: Any, ids: Tensor) -> list[str]:
    """The texts of tokens; bytes that are no character by themselves go by the number of their token: �17."""
    texts = model.to_str_tokens(ids, prepend_bos=False)
    return [f"{text}{token}" if "�" in text else text for token, text in zip(ids.tolist(), texts)]


def prompt_tokens(model: Any, prompt: str) -> Tensor:
    """A prompt's ids, `<BOS>` first, as one batch; ValueError for an empty prompt and for one longer than the context."""
    if not prompt:
        raise ValueError("the prompt is empty: type some text, for example `for i in`")
    return model.to_tokens(prompt)


class Explorer(anywidget.AnyWidget):
    """An interactive figure of a model and a prompt, live in JupyterLab, and alive too in saved and exported pages.

    The first prompt is shown; others are stored with it, and a page without a kernel can show them. Where the model is
    unknown, or the prompt empty or too long, the widget says so in one sentence. `view` holds what was chosen last.
    """

    name: ClassVar[str]  # for screen readers
    shows: ClassVar[str]  # after "This is a still picture of the …, which shows"
    script: ClassVar[str]  # in static/
    packed = traitlets.Unicode().tag(sync=True)
    view = traitlets.Dict().tag(sync=True)
    _css = CSS

    def __init_subclass__(cls, **kwargs: Any) -> None:
        if "script" in cls.__dict__:  # anywidget makes a subclass of its own for each widget
            cls._script = f"{SHARED}\n{(STATIC / cls.script).read_text('utf-8')}"
            start = f"explore(widget, draw, {json.dumps(cls.name)})"
            cls._esm = f"{cls._script}\nexport default {{ render: (widget) => {start} }};"
        super().__init_subclass__(**kwargs)

    def __init__(self, prompts: str | Sequence[str], **view: Any) -> None:
        self.data: dict[str, Any] = {}
        try:
            self.data = self.fixed()
            given = [prompts] if isinstance(prompts, str) or not isinstance(prompts, Iterable) else list(prompts)
            if not given or not all(isinstance(prompt, str) for prompt in given):
                raise ValueError("prompts are texts, one or more: give some, for example `for i in`")
            self.data["prompts"] = {prompt: self.look(prompt) for prompt in given}
            self.data["order"] = list(self.data["prompts"])  # a page would put a prompt like "42" first
        except ValueError as refusal:
            self.data = {"error": str(refusal)}
        self.given = list(self.data.get("prompts", {}))
        super().__init__(packed=pack(self.data), view=view)
        self.on_msg(self.heard)

    def fixed(self) -> dict[str, Any]:
        """What does not depend on the prompt."""
        return {}

    def look(self, prompt: str) -> dict[str, Any]:
        """What is to be seen of a prompt; ValueError in one sentence if nothing is."""
        raise NotImplementedError

    def answer(self, question: dict[str, Any]) -> Any:
        """The answer to a question of the page; here, a new prompt."""
        prompt = question["prompt"]
        kept = {text: self.data["prompts"][text] for text in self.given}
        prompts = kept | {prompt: self.look(prompt)}
        self.data = self.data | {"prompts": prompts, "order": list(prompts)}
        self.view = self.view | {"prompt": prompt}
        self.packed = pack(self.data)

    def heard(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        """Answer a message of the page."""
        try:
            reply = {"answer": self.answer(content["question"])}
        except ValueError as refusal:
            reply = {"error": str(refusal)}
        except Exception as fault:
            self.send({"id": content["id"], "error": f"The kernel could not answer that: {fault}"})
            raise
        self.send({"id": content["id"], **reply})

    def shown_prompt(self) -> str:
        """The prompt that is shown: the chosen one if it is stored, else the first; ValueError if nothing is shown."""
        if "error" in self.data:
            raise ValueError(self.data["error"])
        chosen = self.view.get("prompt")
        return chosen if chosen in self.data["order"] else self.data["order"][0]

    def tables(self) -> str:
        """The first prompt's tables, for where no script runs."""
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

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.data.get('error') or ', '.join(map(repr, self.data['prompts']))})"

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The widget, and the same alive without a kernel, over a picture and tables for where scripts are not run."""
        _, metadata = super()._repr_mimebundle_(**kwargs)  # Colab is told in it where to find anywidget
        missing = MISSING.format(what=f"the {self.name.lower()}", otherwise=f"A still picture shows {self.shows}.")
        instead = html.escape(self.data["error"]) if "error" in self.data else f"<p>{missing}</p>{self.picture()}"
        return {**either(self, instead), "text/plain": repr(self), "text/html": self.page()}, metadata

    def page(self) -> str:
        """HTML that needs neither kernel nor network."""
        state = json.dumps({"packed": self.packed, "view": self.view}).replace("<", "\\u003c")
        id = f"wt-{hashlib.sha256((self.name + repr(self)).encode()).hexdigest()[:10]}"
        start = START.format(id=json.dumps(id), name=json.dumps(self.name))
        return (
            f'<style>{CSS}</style><div data-explorer="{id}"><div class="wt">{self.inside()}</div></div>'
            f'<script type="application/json" id="{id}-state">{state}</script>'
            f'<script type="module">\n{self._script}\n{start}\n</script>'
        )
