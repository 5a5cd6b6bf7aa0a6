"""The parts of the front page and of the training page that are made from numbers: `@FRONT:name@` in a page is one of them."""

import base64
import re
from html import escape

import cards
import pictures
import story
from elements import bars, numbers, table, visible
from sphinx.application import Sphinx


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
    """What each other ablation does to the same prediction, so that one is not taken for special because it does anything."""
    w = story.walrus()
    twin = next(h for h in w["kinds"] if h.startswith("1:") and h != w["head"])
    said, whole = visible(w["next"][1]), pictures.percent(w["without"][""]["chance"])
    lists = ""
    for layer in "01":
        rows = "".join(
            f"<li{' class=wf-said' if h in w['kinds'] else ''}><span>{h}{', ' + w['kinds'][h].split()[0] if h in w['kinds'] else ''}</span>"
            f'<span class="wf-track"><i style="--share:{w["without"][h]["chance"]:.4f}"></i></span>'
            f'<span class="wf-share">{pictures.percent(w["without"][h]["chance"])}</span></li>'
            for h in w["looks"]
            if h.startswith(f"{layer}:")
        )
        label = f"Layer {layer}: “{said}” with one head ablated"
        lists += f'<div><p class="wf-label">{label}</p><ol class="wf-bars wf-one-each" aria-label="{label}">{rows}</ol></div>'
    return (
        f"<p>Is that head special? In layer 1 of this prompt, it and {twin}, the other induction head, are: ablate either, and little is left of the {whole} "
        f'that the whole model gives to “{said}”.</p><div class="wf wf-two">{lists}</div>'
        "<p>In layer 0, ablation alone does not tell: every head of layer 1 reads layer 0's output, so that removing one head there can harm many. "
        "And we chose a prompt in which the effect is clear. So the course does not stop at one ablation: it reads the weights, "
        'and it measures on many prompts and compares with chance (<a href="notebooks/08_induction_heads.html">08</a>, '
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


def ends() -> str:
    """Where the score of the training page's induction head ends, and what that says."""
    t, own = story.training(), story.walrus()
    n, each = len(t["tokens"]), len(t["tokens"]) * (len(t["tokens"]) + 1) // 2
    query = n - 1 - t["tokens"][::-1].index("q")  # as the page opens
    last = base64.b64decode(t["patterns"])[-each:][query * (query + 1) // 2 :][: query + 1]
    score = [*t["curves"]["scores"].values()][1][-1]
    return (
        f"<p>The score of head {t['heads']['induction']} levels off at {score:.2f}. The course calls a head an induction head from one half on, so this one "
        f"does the same less surely: in the code below, {max(last)} % of its attention ends on the right token, on random tokens it is less. "
        f"The model of the front page is larger and learnt from more; its head {own['head']} has a score of {own['kinds'][own['head']].split()[-1]}.</p>"
    )


PARTS = {
    "ends": ends,
    "live": live,
    "command": cards.command,
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
