"""The parts of the front page and of the training page that are made from numbers: `@FRONT:name@` in a page is one of them."""

import re
from html import escape

import cards
import pictures
import story
from sphinx.application import Sphinx

SPARED = 0.75  # of a probability: with less left, an ablation is named
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
    above = [h for h in w["looks"] if h.startswith("1:") and h not in w["kinds"]]
    twin = next(h for h in w["kinds"] if h.startswith("1:") and h != w["head"])
    note = next(h for h in w["kinds"] if h.startswith("0:"))
    below = sorted((h for h in w["looks"] if h.startswith("0:") and h != note), key=chance)
    hard = [h for h in below if chance(h) < SPARED * chance("")]
    rest = [h for h in below if h not in hard]
    between = lambda heads: (
        f"between {pictures.percent(chance(min(heads, key=chance)))} and {pictures.percent(chance(max(heads, key=chance)))}"
    )
    said = visible(w["next"][1])
    return (
        f"<p>Is that head special? In the Walrus prompt and in layer 1, yes: ablate {w['head']}, and “{said}” falls from {pictures.percent(chance(''))} to "
        f"{pictures.percent(chance(w['head']))}; ablate the other induction head, {twin}, and it falls to {pictures.percent(chance(twin))}; ablate any one of the other "
        f"{len(above)}, and it stays {between(above)}.</p>"
        f"<p>In layer 0, ablation alone does not tell. Head {note}, on which the induction heads rely, leaves {pictures.percent(chance(note))}. But "
        f"{', '.join(f'{h} leaves {pictures.percent(chance(h))}' for h in hard)}, and only the other {len(rest)} stay {between(rest)}: whatever layer 0 "
        "no longer writes, all of layer 1 lacks. And we chose a prompt in which the effect is clear. So the course does not stop at one ablation: it reads the weights, "
        'and measures on many prompts, beside what chance gives (<a href="notebooks/08_induction_heads.html">08</a>, '
        '<a href="notebooks/09_inside_induction_heads.html">09</a>).</p>'
    )


def relay() -> str:
    """The two heads' steps in the front page's prompt, in one line."""
    w, r = story.walrus(), story.relay()
    before, found, last = (f"“{visible(w['tokens'][i])}”" for i in (r["found"] - 1, r["found"], w["query"]))
    return (
        f"<p>In the Walrus prompt: at the first {found}, head {r['note']} of layer 0 puts {pictures.percent(r['before'])} of its attention on {before}, the token before. "
        f"At the last {last}, head {w['head']} of layer 1 then puts {pictures.percent(r['share'])} on that {found}.</p>"
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
        for when, key in (("first time", "first"), ("second time", "second")):
            mark = " class=wf-said" if key == "second" else ""
            rows += (
                f'<li{mark}><span>{words[each["model"]]}, {when}</span><span class="wf-track">'
                f'<i style="--share:{each[key] / longest:.4f}"></i></span><span class="wf-share">{each[key]:.2f}</span></li>'
            )
    guess = story.guess()
    rows += (
        f'<li class="wf-guess"><span>all tokens equally likely</span><span class="wf-track"><i style="--share:{guess / longest:.4f}"></i></span>'
        f'<span class="wf-share">{guess:.2f}</span></li>'
    )
    return (
        '<div class="wf"><p class="wf-after">Loss in nats on 60 random tokens, and on the same 60 once more; less is better:</p>'
        f'<ol class="wf-bars wf-wide">{rows}</ol><p class="wf-quiet">The first time, each model does worse than one that takes all tokens for equally likely: '
        "it expects code, and these are not.</p></div>"
    )


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
    "relay": relay,
    "words": cards.words,
    "bigrams": lambda: choices("bigrams", "What the model without layers says next", story.bigrams()),
    "skips": lambda: choices("skips", "What the one-layer model says after the same last token", story.skip_trigrams()),
    "copies": copies,
    "cards": cards.cards,
    "training": training,
}


def fill(_app: Sphinx, _page: str, source: list[str]) -> None:
    """Before Sphinx reads a page, put the parts that it names in it."""
    source[0] = re.sub(r"@FRONT:(\w+)@", lambda found: PARTS[found[1]](), source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls."""
    app.connect("source-read", fill)
    return {"parallel_read_safe": True}
