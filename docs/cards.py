"""The front page's cards, one for each notebook, and what its words mean."""

import re
from functools import cache
from html import escape
from pathlib import Path

import nbformat

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
ROW = re.compile(r"^\| \[(\w+)\]\(notebooks/\w+\.ipynb\) \| (.+) \| .+ \|$", re.M)
LENGTH = re.compile(r"It takes (?:about |nearly )?([^.,:;]+?)(?=[.,:;]|,? of )")
HOURS = {"a quarter": 0.25, "a half": 0.5, "half": 0.5, "three quarters": 0.75, "an": 1, "one": 1, "two": 2, "three": 3}
COMMAND = re.compile(r"^## Follow the course$.*?^```sh\n(.+?)\n```$", re.M | re.S)  # in README.md
ANOTHER_MODEL = "start.html#go-on-to-a-model-that-people-use"
GLOSSES = (  # a word, a line on it, its entry in the glossary
    ("token", "A piece of text that the model reads and writes as one unit: a word or a part of one. Here “·” is a space, “⏎” a line break, and “�” a part of a character.", "token"),
    ("&lt;BOS&gt;", "The token that stands before every text. A head that finds nothing looks there.", "attention-sink"),
    ("layer, head, 1:6", "A layer is a stage of the model, a head one of the eight parts of it that move information between tokens. 1:6 is head 6 of layer 1, counted from 0.", "attention-head"),
    ("attention", "The shares, 100 % together, in which a head takes what it moves from the tokens up to its own.", "attention-pattern"),
    ("induction head", "A head that looks at what followed an earlier copy of the current token. Its score is the attention that it puts there, averaged over random tokens said twice.", "induction-head"),
    ("previous-token head", "A head that looks at the token before its own. Its score is the attention that it puts there, averaged over texts.", "previous-token-head"),
    ("ablate", "Take a head out: what it would add to the model's sum is set to zero, and all else runs on.", "zero-ablation"),
    ("logit, softmax", "A logit is the model's score for one possible next token. The softmax makes of all scores probabilities, 100 % together.", "logit"),
    ("W_E, W_U", "The embedding, which turns a token into a vector, and the unembedding, which turns a vector into logits.", "unembedding"),
    ("skip-trigram", "Three tokens, of which the first may stand further back: “open … as f”.", "skip-trigram"),
    ("loss, nat", "How surprised the model is: minus the natural logarithm of the probability that it gave to the right token. The unit is the nat.", "nat"),
)  # fmt: skip


def in_minutes(words: str) -> int:
    """A time in words as minutes: `in_minutes("an hour and three quarters")` is `105`."""
    if found := re.match(r"(\d+) minutes", words):
        return int(found[1])
    amounts = re.findall("|".join(rf"\b{name}\b" for name in HOURS), words)
    if "hour" not in words or not amounts:
        raise ValueError(f"how long is “{words}”? Say it in minutes, or in hours with halves and quarters")
    return round(60 * sum(HOURS[name] for name in amounts))


def clock(minutes: int) -> str:
    """Minutes as text: `clock(105)` is `"1 h 45 min"`."""
    hours, rest = divmod(minutes, 60)
    return " ".join([f"{hours} h"] * (hours > 0) + [f"{rest} min"] * (rest > 0))


def minutes(name: str) -> int | None:
    """How many minutes a notebook takes a person, by its own words; None where it does not say so."""
    cells = nbformat.read(NOTEBOOKS / f"{name}.ipynb", 4).cells[:8]
    found = LENGTH.search("\n".join(cell.source for cell in cells if cell.cell_type == "markdown"))
    return in_minutes(" ".join(found[1].split())) if found else None


@cache
def cards() -> str:
    """The notebooks as cards: number and name, what one does there, how long it takes."""
    text = (NOTEBOOKS.parent / "README.md").read_text(encoding="utf-8")
    made, total = "", 0
    for name, does in ROW.findall(text):
        number, _, title = (
            nbformat.read(NOTEBOOKS / f"{name}.ipynb", 4)
            .cells[0]
            .source.partition("\n")[0]
            .removeprefix("# ")
            .partition(" · ")
        )
        takes = minutes(name)
        total += takes or 0
        time = f'<p class="wf-time">about {clock(takes)}</p>' if takes else ""
        does = does.replace(" (needs the third command above)", "")
        more = (
            f' <a class="wf-also" href="{ANOTHER_MODEL}">It needs one more download.</a>'
            if name == "20_released_models"
            else ""
        )
        made += (
            f'<li><a href="notebooks/{name}.html"><span class="wf-number">{escape(number)}</span> {escape(title)}</a>'
            f"<p class=wf-does>{escape(does[0].upper() + does[1:])}{'' if does.endswith('?') else '.'}{more}</p>{time}</li>"
        )
    return f'<p>Together, they take about {round(total / 60)} hours, exercises included.</p><ul class="wf wf-cards wf-notebooks">{made}</ul>'


def words() -> str:
    """What the page's words mean, in a line each, with links to the glossary."""
    rows = "".join(
        f'<dt>{term}</dt><dd>{says}{f""" <a href="notebooks/glossary.html#{anchor}">More</a>""" if anchor else ""}</dd>'
        for term, says, anchor in GLOSSES
    )
    return f'<details class="wf wf-words"><summary>What the words mean: token, head, 1:6, ablate, nat …</summary><dl>{rows}</dl></details>'


def command() -> str:
    """The command that installs the course, as the README says it."""
    text = (NOTEBOOKS.parent / "README.md").read_text(encoding="utf-8")
    return f"<pre><code>{escape(COMMAND.search(text)[1])}</code></pre>"
