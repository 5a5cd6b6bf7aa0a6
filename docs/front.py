"""The parts of the front page and of the training page that are made from numbers: `@FRONT:name@` in a page is one of them."""

import re
from functools import cache
from html import escape
from pathlib import Path

import nbformat
import pictures
import story
from sphinx.application import Sphinx

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
ROW = re.compile(r"^\| \[(\w+)\]\(notebooks/\w+\.ipynb\) \| (.+) \| .+ \|$", re.M)
LENGTH = re.compile(r"It takes (?:about |nearly )?([^.,:;]+?)(?=[.,:;]|,? of )")
MARKS = {" ": "·", "\n": "⏎", "\t": "⇥"}


def visible(token: str) -> str:
    """A token with its white space made visible: `visible(" x")` is `"·x"`."""
    return "".join(MARKS.get(letter, letter) for letter in token)


def bars(top: list[list], said: str | None = None) -> str:
    """A list of next tokens, the most probable first, with bars that are as long as the probabilities."""
    rows = "".join(
        f"<li{' class=wf-said' if token == said else ''}><code>{escape(visible(token))}</code>"
        f'<span class="wf-track"><i style="--share:{chance:.4f}"></i></span><span class="wf-share">{pictures.percent(chance)}</span></li>'
        for token, chance in top
    )
    return f'<ol class="wf-bars">{rows}</ol>'


def table(caption: str, columns: list[str], rows: list[list[str]]) -> str:
    """A table whose first column names the rows, which scrolls where it is too wide."""
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
    body = "".join(
        f'<tr><th scope="row">{escape(first)}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in rest)}</tr>'
        for first, *rest in rows
    )
    return (
        f'<div class="wf-table" tabindex="0" role="region" aria-label="{escape(caption)}"><table><caption>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def numbers(*tables: str) -> str:
    """Tables that unfold."""
    return f"<details class=wf-numbers><summary>The numbers</summary>{''.join(tables)}</details>"


def head_table() -> str:
    """What the front page's prompt says of every head: where it looks, and what is left of the prediction without it."""
    w = story.walrus()
    rows = []
    for head, looks in w["looks"].items():
        key = max(range(len(looks)), key=looks.__getitem__)
        after = w["without"][head]
        rows.append([
            head + (f" ({kind})" if (kind := w["kinds"].get(head)) else ""), f"{visible(w['tokens'][key])} at position {key}",
            pictures.percent(looks[key]), pictures.percent(after["chance"]),
            f"{visible(after['top'][0][0])} {pictures.percent(after['top'][0][1])}",
        ])  # fmt: skip
    said = visible(w["next"][1])
    return table(
        f"From the last token, “{visible(w['tokens'][-1])}”: every head, and what its ablation does",
        ["head", "looks most at", "share of attention", f"“{said}” with the head ablated", "first guess then"],
        rows,
    )


def sentence() -> str:
    """The story of the front page in two sentences."""
    w = story.walrus()
    head, said = w["head"], visible(w["next"][1])
    looks, after = w["looks"][head], w["without"][head]
    key = max(range(len(looks)), key=looks.__getitem__)
    return (
        f"Head {head} stands at “{visible(w['tokens'][-1])}” and puts {pictures.percent(looks[key])} of its attention on "
        f"“{visible(w['tokens'][key])}”, the token that followed an earlier “{visible(w['tokens'][key - 1])}”. The model says "
        f"“{said}” with a probability of {pictures.percent(w['without']['']['chance'])}; with head {head} ablated, {pictures.percent(after['chance'])}."
    )


def live() -> str:
    """The explorer of the front page: a picture, which the script replaces."""
    prompt = escape(story.PROMPT)
    return (
        f'<div class="wf wf-live" id="wf-live"><div class="wf-still"><pre class="wf-plain">{prompt}</pre>'
        f'<img src="_static/front/story.png" loading="lazy" width="1324" height="633" alt="{escape(sentence())}">'
        f"<p>{escape(sentence())}</p>{numbers(head_table())}</div></div>{story.script('wf-story', story.walrus())}"
        f'<div id="wf-heads" hidden>{head_table()}</div>'
    )


def control() -> str:
    """What other ablations do to the same prediction, so that one is not taken for special because it does anything."""
    w = story.walrus()
    chance = lambda head: w["without"][head]["chance"]
    others = [h for h in w["without"] if h.startswith("1:") and h not in w["kinds"]]
    low, high = min(map(chance, others)), max(map(chance, others))
    twin = next(h for h in w["kinds"] if h.startswith("1:") and h != w["head"])
    note = next(h for h in w["kinds"] if h.startswith("0:"))
    return (
        f"<p>Is that special? Ablate any one of the other heads of layer 1 that are no induction heads, and “{visible(w['next'][1])}” stays between "
        f"{pictures.percent(low)} and {pictures.percent(high)}. The second induction head, {twin}, matters as much: without it, {pictures.percent(chance(twin))}. "
        f"And without head {note} of the layer below, which tells each token what stood before it, {pictures.percent(chance(note))} are left. "
        "We chose this prompt because the effect is clear in it; type your own, and see where it is not.</p>"
    )


def choices(name: str, label: str, items: list[dict]) -> str:
    """A small live thing: a row of buttons, and the next tokens after what is chosen; without scripts, the first and a table."""
    shown = [item["after"] if "source" in item else visible(item["after"]) for item in items]  # a text, or one token
    rows = [
        [after, *(f"{visible(token)} {pictures.percent(c)}" for token, c in i["top"])]
        for after, i in zip(shown, items, strict=True)
    ]
    columns = ["after", "first", "second", "third", "fourth", "fifth"]
    return (
        f'<div class="wf wf-choices" data-choices="wf-{name}" data-label="{escape(label)}"><p class="wf-after">After '
        f"<code>{escape(shown[0])}</code>:</p>{bars(items[0]['top'])}</div>"
        f"<div class=wf>{numbers(table(label, columns, rows))}</div>{story.script(f'wf-{name}', items)}"
    )


def copies() -> str:
    """Bars of the loss on random tokens said once and again, for no layer, one and two."""
    found = story.copies()
    words = {"zero-layer": "no layer", "one-layer": "one layer", "two-layer": "two layers"}
    longest = max(max(each["first"], each["second"]) for each in found)
    rows = ""
    for each in found:
        for when, key in (("said once", "first"), ("said again", "second")):
            mark = " class=wf-said" if key == "second" else ""
            rows += (
                f'<li{mark}><span>{words[each["model"]]}, {when}</span><span class="wf-track">'
                f'<i style="--share:{each[key] / longest:.4f}"></i></span><span class="wf-share">{each[key]:.2f}</span></li>'
            )
    return f'<div class="wf"><p class="wf-after">Loss in nats on 60 random tokens, once and once more; less is better:</p><ol class="wf-bars wf-wide">{rows}</ol></div>'


def minutes(name: str) -> str:
    """How long a notebook takes a person, in its own words; nothing where it does not say so."""
    cells = nbformat.read(NOTEBOOKS / f"{name}.ipynb", 4).cells[:8]
    found = LENGTH.search("\n".join(cell.source for cell in cells if cell.cell_type == "markdown"))
    return " ".join(found[1].split()) if found else ""


@cache
def cards() -> str:
    """The notebooks as cards: number and name, what one does there, how long it takes."""
    text = (NOTEBOOKS.parent / "README.md").read_text(encoding="utf-8")
    made = ""
    for name, does in ROW.findall(text):
        number, _, title = (
            nbformat.read(NOTEBOOKS / f"{name}.ipynb", 4)
            .cells[0]
            .source.partition("\n")[0]
            .removeprefix("# ")
            .partition(" · ")
        )
        time = f'<p class="wf-time">{escape(time)}</p>' if (time := minutes(name)) else ""
        made += (
            f'<li><a href="notebooks/{name}.html"><span class="wf-number">{escape(number)}</span> {escape(title)}</a>'
            f"<p>{escape(does[0].upper() + does[1:])}{'' if does.endswith('?') else '.'}</p>{time}</li>"
        )
    return f'<ul class="wf wf-cards">{made}</ul>'


def training() -> str:
    """The training scrubber: a picture and a table, which the script puts a slider in front of."""
    t = story.training()
    names = [*t["curves"]["loss"], *t["curves"]["scores"]]
    curves = [*t["curves"]["loss"].values(), *t["curves"]["scores"].values()]
    rows = [[f"{at:,}", *(f"{curve[t['looks'].index(at)]:.2f}" for curve in curves)] for at in t["at"]]
    columns = ["tokens learnt from", *(f"loss, {name}" for name in list(t["curves"]["loss"])), *names[2:]]
    alt = (
        "Two charts over the tokens learnt from. Left, the loss on held-out code: of two layers it falls below that of one layer after about 0.8 "
        f"million tokens. Right, the scores of two heads: {names[2]} rises early to {curves[2][-1]:.2f}, {names[3]} much later to {curves[3][-1]:.2f}."
    )
    return (
        f'<div class="wf wf-training" id="wf-training"><div class="wf-still"><img src="_static/front/training.png" loading="lazy" width="1324" height="489" '
        f'alt="{escape(alt)}"></div></div><div class=wf>{numbers(table("The checkpoints", columns, rows))}</div>'
        f"{story.script('wf-run', t)}"
    )


PARTS = {
    "live": live,
    "control": control,
    "bigrams": lambda: choices("bigrams", "What the model without layers says next", story.bigrams()),
    "skips": lambda: choices("skips", "What the one-layer model says after the same dot", story.skip_trigrams()),
    "copies": copies,
    "cards": cards,
    "training": training,
}


def fill(_app: Sphinx, _page: str, source: list[str]) -> None:
    """Before Sphinx reads a page, put the parts that it names in it."""
    source[0] = re.sub(r"@FRONT:(\w+)@", lambda found: PARTS[found[1]](), source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls."""
    app.connect("source-read", fill)
    return {"parallel_read_safe": True}
