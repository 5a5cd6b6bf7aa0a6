"""Ablated heads and frozen patterns in the explorers: by weights set to zero and by hand, layer by layer; and in the page's engine."""

import base64

import engine_harness
import pytest
import torch

from walkthrough import corpus, models, widgets
from walkthrough.widgets import ablation
from walkthrough.widgets.explorer import named

PROMPT = "class Walrus:\n    def swim(self):\n        pass\n\npet = Wal"
EVERY = [[layer, head] for layer in range(2) for head in range(8)]
ROUNDED = 6e-5  # four decimals, and what float32 adds


@pytest.fixture(scope="module")
def model():
    return models.load("two-layer")


@pytest.fixture(scope="module")
def attention(model):
    return widgets.AttentionExplorer({"two": model, "one": "one-layer"}, PROMPT)


@pytest.fixture(scope="module")
def logits(model):
    return widgets.LogitExplorer(model, PROMPT)


@pytest.fixture(scope="module")
def texts(model):
    """Prompts of code that no model has seen, of random tokens, and odd ones."""
    rows = corpus.held_out(model.tokenizer.backend_tokenizer, limit=20_000)[:6, 1:]
    code = [model.tokenizer.decode(row[: 10 + 25 * i].tolist()) for i, row in enumerate(rows)]
    random = torch.randint(1, model.cfg.d_vocab, (3, 40), generator=torch.Generator().manual_seed(0))
    return [*code, *(model.tokenizer.decode(row.tolist()) for row in random), "x", "naïve 日本 😀\n"]


def choices(seed):
    """Some heads to ablate, one of layer 0 first, and others to freeze, one of layer 1 first: only such a freeze does anything."""
    order = torch.randperm(16, generator=torch.Generator().manual_seed(seed)).tolist()
    cut, kept = 1 + seed % 4, (0, 1, 5, 12)[seed % 4]
    for place, layer in ((0, 0), (cut, 1)):
        head = next(head for head in order[place:] if EVERY[head][0] == layer)
        order.remove(head)
        order.insert(place, head)
    return [EVERY[i] for i in order[:cut]], [EVERY[i] for i in order[cut : cut + kept]]


def by_hand(model, ids, ablated, frozen):
    """Logits and patterns, layer by layer from the weights: without hooks, and by other formulas than the run's own."""
    plain = [model.run_with_cache(ids)[1]["pattern", layer][0] for layer in range(model.cfg.n_layers)]
    stream, n, looks = model.W_E[ids[0]], ids.shape[1], []
    for layer in range(model.cfg.n_layers):
        placed, added, of_layer = stream + model.W_pos[:n], torch.zeros_like(stream), []
        for head in range(model.cfg.n_heads):
            q, k = placed @ model.W_Q[layer, head], placed @ model.W_K[layer, head]
            scores = torch.where(torch.ones(n, n).tril() > 0, q @ k.T / model.cfg.d_head**0.5, -torch.inf)
            pattern = (
                plain[layer][head] if [layer, head] in frozen else scores.exp() / scores.exp().sum(-1, keepdim=True)
            )
            of_layer.append(pattern)
            if [layer, head] not in ablated:
                added = added + pattern @ stream @ model.W_V[layer, head] @ model.W_O[layer, head]
        stream, looks = stream + added, [*looks, torch.stack(of_layer)]
    return stream @ model.W_U, looks


def check(model, prompt, answer, ablated, frozen):
    """An answer about changed runs against the run by hand."""
    ids = model.to_tokens(prompt)
    runs = [of.double().log_softmax(-1) for of in (model(ids)[0], by_hand(model, ids, ablated, frozen)[0])]
    texts, following = named(model, torch.arange(model.cfg.d_vocab)), ids[0, 1:].tolist()
    for position, words in enumerate(answer["words"]):
        assert len(set(words)) == len(words) <= 11
        likeliest = [run[position].topk(5).indices.tolist() for run in runs]
        tokens = list(dict.fromkeys([*likeliest[0], *likeliest[1], *following[position : position + 1]]))
        assert sorted(words) == sorted(texts[token] for token in tokens)
        assert words[0] == texts[likeliest[0][0]]
        of = {texts[token]: token for token in tokens}
        for run, which in zip(runs, ("before", "after"), strict=True):
            exact = [run[position, of[word]].exp().item() for word in words]
            assert answer[which][position] == pytest.approx(exact, abs=ROUNDED)
        if position < len(following):
            assert words[answer["next"][position]] == texts[following[position]]
            exact = [-run[position, following[position]].item() for run in runs]
            assert answer["loss"][position] == pytest.approx(exact, abs=2e-4)
    assert answer["next"][-1] is None
    assert len(answer["loss"]) == len(following) == len(answer["words"]) - 1
    means = [-run[range(len(following)), following].mean().item() for run in runs]
    assert answer["mean"] == pytest.approx(means, abs=1e-4)


@pytest.mark.parametrize("seed", range(8))
def test_changed_runs_are_those_worked_out_layer_by_layer(seed, model, logits, attention, texts):
    prompt, (ablated, frozen) = texts[seed], choices(seed)
    question = {"prompt": prompt, "ablate": ablated, "freeze": frozen}
    answer = logits.answer(question)
    check(model, prompt, answer, ablated, frozen)
    if frozen:  # and the check can tell
        with pytest.raises(AssertionError):
            check(model, prompt, answer, ablated, [])
    shown = attention.answer(question | {"patterns": True, "model": 0})
    _, looks = by_hand(model, model.to_tokens(prompt), ablated, frozen)
    assert {key: shown[key] for key in answer} == answer
    n = len(answer["words"])
    for layer, exact in zip(shown["layers"], looks, strict=True):
        stored = torch.frombuffer(bytearray(ablation_bytes(layer)), dtype=torch.uint8).view(-1, n, n) / 100
        torch.testing.assert_close(stored, exact, rtol=0, atol=0.00501)


def ablation_bytes(layer):
    return base64.b64decode(layer["pattern"])


def test_a_run_without_heads_is_that_of_weights_without_them(model, logits):
    other = models.load("two-layer")
    for layer, head in ([0, 7], [1, 6]):
        other.original_model.layers[layer].attn.o.weight.data.view(model.cfg.d_model, 8, -1)[:, head] = 0
    answer = logits.answer({"prompt": PROMPT, "ablate": [[0, 7], [1, 6]]})
    likely = other(PROMPT)[0].softmax(-1)
    for position, (words, after) in enumerate(zip(answer["words"], answer["after"], strict=True)):
        exact = [likely[position, model.to_single_token(word)].item() for word in words[:1]]
        assert after[:1] == pytest.approx(exact, abs=ROUNDED)


def test_with_nothing_ablated_nothing_changes_whatever_is_frozen(logits):
    for freeze in ([], [[0, 3]], EVERY):
        answer = logits.answer({"prompt": PROMPT, "ablate": [], "freeze": freeze})
        for before, after in zip(answer["before"], answer["after"], strict=True):
            assert after == pytest.approx(before, abs=ROUNDED)


@pytest.mark.parametrize("frozen", [[], [[1, 6], [1, 7]], EVERY])
def test_each_head_in_turn_is_each_head_asked_for(frozen, logits):
    turns = logits.answer({"prompt": PROMPT, "each": True, "freeze": frozen})
    assert len(turns["after"]) == 16
    for (layer, head), shares in zip(EVERY, turns["after"], strict=True):
        alone = logits.answer({"prompt": PROMPT, "ablate": [[layer, head]], "freeze": frozen})
        for position, words in enumerate(turns["words"]):
            assert words[:5] == alone["words"][position][:5]
            assert turns["before"][position][:5] == alone["before"][position][:5]
            assert shares[position][:5] == pytest.approx(alone["after"][position][:5], abs=ROUNDED)
            really = alone["next"][position]
            if really is not None:
                assert words[5] == alone["words"][position][really]
                assert shares[position][5] == pytest.approx(alone["after"][position][really], abs=ROUNDED)


def test_the_second_of_two_models_is_the_one_that_is_asked(attention):
    one = widgets.LogitExplorer("one-layer", PROMPT)
    question = {"prompt": PROMPT, "ablate": [[0, 2]]}
    assert attention.answer(question | {"model": 1}) == one.answer(question)
    assert attention.data["heads"] == [["two", [8, 8]], ["one", [8]]]
    assert one.data["heads"] == [["", [8]]]


@pytest.mark.parametrize(
    ("question", "sentence"),
    [
        ({"ablate": [[2, 0]]}, "there is no layer 2"),
        ({"ablate": [[0, 8]]}, "there is no head 8"),
        ({"ablate": [], "freeze": [[0, -1]]}, "there is no head -1"),
        ({"ablate": [[0, 0]], "prompt": ""}, "the prompt is empty"),
        ({"each": True, "prompt": "x " * 300}, "the model's context is 256"),
    ],
)
def test_what_cannot_be_changed_gets_one_sentence_and_changes_nothing(question, sentence, logits):
    before = logits.packed, logits.view
    with pytest.raises(ValueError, match=sentence):
        logits.answer({"prompt": PROMPT} | question)
    assert (logits.packed, logits.view) == before


def test_a_model_of_many_heads_is_not_swept():
    cfg = models.config(9, d_model=16, n_heads=8, n_ctx=16, d_vocab=32)
    model = models.bridge(models.PaperModel(cfg), name="many")
    with pytest.raises(ValueError, match="72 heads one after the other take too long"):
        ablation.each_ablated(model, torch.arange(5)[None])


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """The engine, in Node or in Chromium."""
    with engine_harness.started(tmp_path_factory) as asked:
        yield asked


def same(found, exact):
    """The same dictionary to four decimals; of two tokens that are as likely to these, either may be among the five."""
    assert found.keys() == exact.keys()
    near = lambda values: pytest.approx(flat(values), abs=1.5e-4)
    for at, words in enumerate(exact["words"]):
        its, mine = (
            {word: numbers for word, *numbers in zip(answer["words"][at], *of_runs(answer, at), strict=True)}
            for answer in (found, exact)
        )
        shared = [word for word in mine if word in its]
        assert flat([its[word] for word in shared]) == near([mine[word] for word in shared])
        for one, other in ((its, mine), (mine, its)):
            fifths = [sorted(run, reverse=True)[4] for run in zip(*other.values(), strict=True)]
            for word in one.keys() - other:
                assert min(abs(x - fifth) for x, fifth in zip(one[word], fifths, strict=True)) < 1.5e-4
        if "next" in exact and exact["next"][at] is not None:
            assert found["words"][at][found["next"][at]] == words[exact["next"][at]]
    for key in exact.keys() & {"loss", "mean"}:
        assert flat(found[key]) == near(exact[key])


def of_runs(answer, at):
    """What the runs of an answer give to the words at a position: in the run as it is, and in each changed one."""
    changed = [run[at] for run in answer["after"]] if "next" not in answer else [answer["after"][at]]
    return [answer["before"][at], *changed]


def flat(values):
    return [x for value in values for x in (flat(value) if isinstance(value, list) else [value])]


@pytest.mark.parametrize("seed", range(11))
def test_the_engine_answers_as_python_does(seed, engine, model, logits, attention, texts):
    prompt, (ablated, frozen) = texts[seed], choices(seed)
    question = {"prompt": prompt, "ablate": ablated, "freeze": frozen}
    same(engine("logits", "two-layer", **question), logits.answer(question))
    both = [["two", "two-layer"], ["one", "one-layer"]]
    question["patterns"] = True
    found, exact = engine("attention", both, **question), attention.answer(question)
    same(found, exact)
    for mine, its in zip(exact["layers"], found["layers"], strict=True):
        assert (its["name"], its["layer"]) == (mine["name"], mine["layer"])
        assert abs(its["pattern"].astype(int) - list(ablation_bytes(mine))).max() <= 1
        assert flat(its["norms"]) == pytest.approx(flat(mine["norms"]), abs=2e-3)


def test_the_engine_ablates_each_head_in_turn_as_python_does(engine, logits, attention):
    for frozen in ([], [[0, 7], [1, 1]]):
        question = {"prompt": PROMPT, "each": True, "freeze": frozen}
        same(engine("logits", "two-layer", **question), logits.answer(question))
    question = {"prompt": PROMPT, "each": True, "model": 1}
    same(engine("attention", [["two", "two-layer"], ["one", "one-layer"]], **question), attention.answer(question))


def test_the_engine_refuses_what_python_refuses(engine):
    for ablated, frozen, sentence in (
        [[[2, 0]], [], "no layer 2"],
        [[[0, 8]], [], "no head 8"],
        [[[0, 0]], [[5, 0]], "no layer 5"],
    ):
        with pytest.raises(ValueError, match=sentence):
            engine("logits", "two-layer", prompt=PROMPT, ablate=ablated, freeze=frozen)
