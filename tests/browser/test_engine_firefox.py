"""The page's engine in Firefox, which compiles and rounds with other code than Chromium and Node do."""

import shutil

import engine_harness
import firefox
import numpy as np
import pytest

from walkthrough import corpus, models, widgets
from walkthrough.widgets.page import STATIC

pytest_plugins = ["site_fixture"]
TOLERANCE = 1e-4
FILES = ("tokenizer.json", "two-layer.json", "two-layer.safetensors")
TYPED = "def area(self, width):\n    return self.width * width"
TEXTS = [
    *(TYPED[:end] for end in (1, 2, 9, 23, len(TYPED))),
    " value" * 255,
    "Mr Dworkin and Miss Applegarth grew roses. Miss Applegarth laughed at Mr Dworkin.",
    "<BOS>", "naïve café", "日本語のテキスト", "😀👩‍👩‍👧 zwj", "a\u0085b c\u0085 d", "a\ufeffb \ufeff c", "\x00\x01 \x1c", "e\u0301 ǅ ʰ",
    "a\tb\r\n\r\nc  \n\n  d", "x" * 200, "𐍈𐍉 𝔸𝔹 \u2028 \u3000",
]  # fmt: skip
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="walkthrough-engine" content="engine/">
<title>x</title></head><body><main>{body}</main></body></html>"""
TYPE = """([place, text]) => {
    const field = document.querySelector(place)
    field.value = text
    field.dispatchEvent(new Event('input'))
}"""
OPEN = """async base => {
    const {open} = await import(base + 'ask.js')
    try { return (await (await open({base: new URL(base, location.href).href})).run('x = 1')).ids }
    catch (fault) { return fault.message }
}"""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """What is served: the engine with its weights, and again with a byte of the weights changed."""
    root = tmp_path_factory.mktemp("served")
    for folder in ("engine", "spoilt"):
        shutil.copytree(STATIC / "engine", root / folder)
        (root / folder / "weights").mkdir()
        for name in FILES:
            shutil.copyfile(models.WEIGHTS / name, root / folder / "weights" / name)
    weights = bytearray((models.WEIGHTS / FILES[-1]).read_bytes())
    weights[-1] ^= 1
    (root / "spoilt" / "weights" / FILES[-1]).write_bytes(weights)
    return root


@pytest.fixture(scope="module")
def fox(root, tmp_path_factory):
    """Headless Firefox."""
    with firefox.opened(root, tmp_path_factory.mktemp("profile") / "new") as fox:
        yield fox


@pytest.fixture(scope="module")
def exact():
    return models.load("two-layer").double()


def test_texts_in_firefox_are_pythons(fox, exact):
    ask, worst = engine_harness.in_page(fox, fox.empty), 0
    held_out = corpus.held_out(exact.tokenizer.backend_tokenizer, limit=4_000)[:4, 1:]
    texts = [*TEXTS, *(exact.tokenizer.decode(row[:length].tolist()) for row, length in zip(held_out, (20, 60, 250)))]
    lengths = []
    for text in texts:
        logits, cache = exact.run_with_cache(text)
        found = ask("run", "two-layer", prompt=text, logits=256)
        assert found["ids"] == exact.to_tokens(text)[0].tolist(), text
        patterns = np.concatenate([cache["pattern", layer].numpy().ravel() for layer in (0, 1)])
        worst = max(worst, abs(np.stack(found["logits"]) - logits[0].numpy()).max())
        worst = max(
            worst, abs(np.concatenate([head for layer in found["patterns"] for head in layer]) - patterns).max()
        )
        lengths.append(len(found["ids"]))
    print(f"{len(texts)} texts of {min(lengths)} to {max(lengths)} tokens, the largest difference {worst:.1e}")
    assert max(lengths) == 256
    assert worst < TOLERANCE


def test_more_than_256_tokens_get_one_sentence(fox):
    ask = engine_harness.in_page(fox, fox.empty)
    with pytest.raises(ValueError, match="at most 256"):
        ask("run", "two-layer", prompt="x = 1\n" * 200)


def test_weights_with_another_sha_256_are_not_used(fox, exact):
    fox.goto(fox.empty)
    said = fox.evaluate(OPEN, "/spoilt/")
    assert said.startswith(f"The file {FILES[-1]} is damaged")
    assert "SHA-256" in said
    assert fox.evaluate(OPEN, "/engine/") == exact.to_tokens("x = 1")[0].tolist()


def test_an_explorer_answers_what_is_typed_and_complains_of_nothing(fox, root, exact):
    body = widgets.AttentionExplorer(models.load("two-layer"), "for value in values:").page()
    (root / "explorer.html").write_text(PAGE.format(body=body), encoding="utf-8")
    fox.goto(f"{fox.url}explorer.html")
    fox.wait_for("() => document.querySelector('.wt-token')")
    fox.evaluate(TYPE, [".wt-prompt", TYPED.replace("\n", "\\n")])
    ids = exact.to_tokens(TYPED)
    fox.wait_for("count => document.querySelector('.wt-tokens').children.length === count", ids.shape[1])
    pattern = exact.run_with_cache(ids)[1]["pattern", 0][0, 0, -1]
    shown = fox.evaluate("() => [...document.querySelectorAll('.wt-tokens .wt-token small')].map(x => x.innerText)")
    assert shown == [f"{share:.2f}" if share > 0.0449 else "" for share in pattern.tolist()]
    assert fox.evaluate("() => window.complaints") == []


def test_the_front_page_answers_what_is_typed_and_complains_of_nothing(fox, request, exact, tmp_path):
    site = request.getfixturevalue("site")  # only here, so that it is not built where there is no Firefox
    with firefox.opened(site, tmp_path / "new") as visitor:
        visitor.goto(f"{visitor.url}index.html")
        visitor.wait_for("() => document.querySelector('#wf-live[data-shown]')")
        visitor.evaluate(TYPE, ["#wf-prompt", TYPED])
        visitor.wait_for(
            "count => document.querySelector('#wf-live').dataset.shown.startsWith(`${count} `)", len(TYPED)
        )
        best = exact(exact.to_tokens(TYPED))[0, -1].softmax(-1).max()
        share = "() => document.querySelector('#wf-live .wf-bars .wf-share').innerText"
        assert visitor.evaluate(share) == f"{100 * best:.1f} %"
        visitor.evaluate("() => document.querySelector('.wf-ablate').click()")
        visitor.wait_for("() => document.querySelectorAll('#wf-live .wf-bars').length === 2")
        assert visitor.evaluate("() => window.complaints") == []
