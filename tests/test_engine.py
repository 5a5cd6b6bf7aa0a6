"""The engine of pages without Python gives what Python gives: ids, patterns, logits, and the explorers' own answers."""

import engine_harness
import numpy as np
import pytest
import torch

from walkthrough import corpus, models

TOLERANCE = 1e-4
ODD = [
    "<BOS>", "a<BOS>b", " <BOS> x", "naïve café", "日本語のテキスト", "😀👩‍👩‍👧 zwj", "\x00\x01", "a\u0085b c\u0085 d", "a\ufeffb \ufeff c",
    "\u2028x\u2029", "x\x1cy \x1d z", "\u180e x", "١٢٣ Ⅷ ½", "a\tb\r\n\r\nc  \n\n  d", "don't I'll THEY'RE 'S 's", "\u3000全角 ",
    "e\u0301", "힣", "ǅ ʰ ª", "𐍈𐍉 𝔸𝔹", "\u200b zero", "a\u00a0b \u00a0 c", "x" * 200, " " * 40, "\n" * 9, "\ufffd bad", "ﬁ ﬂ", "\u1c89 ẞ",
]  # fmt: skip
PROSE = [
    "Mr Dworkin and Miss Applegarth grew roses. Miss Applegarth laughed at Mr Dworkin.",
    "It was the best of times, it was the worst of times.", "Ceci n'est pas une pipe.", "42", " ", "\n", "'", "a",
]  # fmt: skip
PROMPTS = [
    "def feed(quokka, leaf):\n    quokka.eat(leaf)\n    return quokka",
    "first = load_table(name)\nsecond = load_",
    "a",
]


@pytest.fixture(scope="module")
def ask(tmp_path_factory):
    """The engine, in Node or in Chromium."""
    with engine_harness.started(tmp_path_factory) as asked:
        yield asked


@pytest.fixture(scope="module")
def model():
    return models.load("two-layer")


@pytest.fixture(scope="module")
def exact():
    """In double precision: in single precision Python's own logits are only good to 1e-4."""
    return models.load("two-layer").double()


def every_text(model):
    """At least 200 texts, and of each how many of its last positions are looked at: code no model has seen, prose, odd ones.

    Those of the vocabulary are ids, since cut again, they would be other tokens.
    """
    vocabulary = [[0, *ids.tolist()] for ids in torch.arange(1, model.cfg.d_vocab).split(240)]
    held_out = corpus.held_out(model.tokenizer.backend_tokenizer, limit=60_000)[:, 1:]
    code = [model.tokenizer.decode(row[: 12 + 5 * (i % 9)].tolist()) for i, row in enumerate(held_out[:160])]
    full = [model.tokenizer.decode(row[:250].tolist()) for row in held_out[160:163]]
    return [*((text, 256) for text in [*vocabulary, *full]), *((text, 4) for text in [*code, *ODD, *PROSE])]


def test_ids_patterns_and_logits_of_two_hundred_texts_are_pythons(ask, exact):
    texts, worst = every_text(exact), 0
    assert len(texts) >= 200
    for text, count in texts:
        ids = exact.to_tokens(text) if isinstance(text, str) else torch.tensor([text])
        found = ask("run", "two-layer", prompt=text, logits=count)
        assert found["ids"] == ids[0].tolist(), text
        assert found["tokens"] == exact.to_str_tokens(ids[0], prepend_bos=False), text
        logits, cache = exact.run_with_cache(ids, names_filter=lambda name: name.endswith("hook_pattern"))
        pattern = np.stack([cache[f"blocks.{layer}.attn.hook_pattern"][0].numpy() for layer in range(2)]).ravel()
        worst = max(worst, abs(pattern - np.concatenate([p for layer in found["patterns"] for p in layer])).max())
        worst = max(worst, abs(logits[0, -count:].numpy() - np.stack(found["logits"])).max())
        losses = torch.nn.functional.cross_entropy(logits[0, :-1], ids[0, 1:], reduction="none")
        np.testing.assert_allclose(found["losses"], losses, atol=TOLERANCE)
    print(f"{len(texts)} texts, the largest difference {worst:.1e}")
    assert worst < TOLERANCE


def test_every_token_is_cut_as_pythons(ask, model):
    texts = [text for text in model.to_str_tokens(torch.arange(model.cfg.d_vocab), prepend_bos=False)]
    expected = [model.to_tokens(text, prepend_bos=False)[0].tolist() for text in texts]
    assert ask("cut", "two-layer", texts=texts) == expected


def test_names_of_all_tokens_are_pythons(ask, model):
    ids = torch.arange(model.cfg.d_vocab)
    texts = [each["token"] for each in ask("predicted", "two-layer", prompt="a", tokens=ids.tolist())]
    assert texts == model.to_str_tokens(ids, prepend_bos=False)
