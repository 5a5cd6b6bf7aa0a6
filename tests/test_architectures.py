"""Every public function that takes a model, on every architecture: exact by another road, or refused in one sentence.

`python tests/test_architectures.py` writes the table that docs/functions.md shows; a test compares the two.
"""

import ast
import copy
import functools
import importlib
import inspect
import re
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from architectures import COURSE, model_of, released
from function_table import HEAD, NAMES, TABLE, tokens
from slow_model import Slow
from transformer_lens import FactoredMatrix

from walkthrough import architecture, attribution, behaviour, circuits, interventions, models, paths, searches
from walkthrough.training.cause_networks import ALL_NETWORKS

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "functions.md"
TOLERANCE = 1e-4  # of the largest number of a result
APART = {  # modules whose functions are not in the table, and why
    "architecture": "it reads off what a model is made of",
    "beyond.folded_": "the exact generalisations themselves", "beyond.frozen": "the exact generalisations themselves",
    "beyond.released": "it loads models", "beyond.scale": "has its own tests on these models",
    "beyond.positivity": "has its own tests on these models",
    "training.": "it trains networks, which are no bridges yet", "beyond.training": "as training",
    "beyond.smaller": "it prunes the course's own network, module by module",
    "beyond.attack_runs": "it attacks the course's model", "beyond.bench": "it attacks the course's model",
    "beyond.biases": "it edits the course's model", "beyond.bias_runs": "it edits the course's model",
    "beyond.crossed_pairs": "it attacks the course's model", "beyond.defences": "it attacks the course's model",
    "beyond.editing": "it edits the course's model", "beyond.fine_tuning": "it edits the course's model",
    "beyond.known_": "it searches models of a language of its own", "beyond.misquotes": "it edits the course's model",
    "beyond.removals": "it edits the course's model", "beyond.suspicions": "it searches the course's model",
    "beyond.weaknesses": "it attacks the course's model",
    "widgets.": "the explorers refuse other models in `the_model`",
    "models:bridge": "it makes a bridge", "one_layer.bug_cost:second_order": "its model is a probability",
    "one_layer.bug_cost:shared_by_halves": "its model is a probability",
}  # fmt: skip


def public_functions() -> list[str]:
    """The public functions and methods of the package with an argument `model` or `cache`, as "module:name"."""
    found = []
    for path in sorted((ROOT / "walkthrough").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT / "walkthrough").with_suffix("").parts)
        if not module.startswith(("exercises", "figures", "homework")):
            found += [f"{module}:{name}" for name in taking_a_model(ast.parse(path.read_text("utf-8")).body)]
    return found


def taking_a_model(body: Sequence[ast.stmt], inside: str = "") -> list[str]:
    """Of some definitions, the names of those that take a model."""
    found = []
    for node in body:
        if isinstance(node, ast.ClassDef):
            found += taking_a_model(node.body, f"{node.name}.")
        elif isinstance(node, ast.FunctionDef) and (not node.name.startswith("_") or node.name == "__init__"):
            names = {each.arg for each in (*node.args.args, *node.args.kwonlyargs)}
            found += [inside + node.name] if names & {"model", "models", "cache"} else []
    return found


def function_of(name: str):
    """The function that "module:name" names."""
    module, _, path = name.partition(":")
    return functools.reduce(getattr, path.split("."), importlib.import_module(f"walkthrough.{module}"))


@functools.cache
def slow_model(name: str, n_layers: int | None) -> Slow:
    """Made once."""
    return Slow(name, n_layers)


def numbers(result) -> list[torch.Tensor]:
    """All numbers in a result, in order, as tensors."""
    if isinstance(result, torch.Tensor):
        return [result.double()]
    if isinstance(result, dict):
        keys = [float(x) for key in result for x in (key if isinstance(key, tuple) else ()) if isinstance(x, int)]
        return [torch.tensor(keys, dtype=torch.double), *(x for value in result.values() for x in numbers(value))]
    if isinstance(result, list | tuple):
        return [x for part in result for x in numbers(part)]
    return [torch.tensor(result, dtype=torch.double)] if isinstance(result, int | float) else []


def distance(found, true) -> float:
    """The largest difference of two results, as a share of the largest number; infinite for different shapes."""
    found, true = numbers(found), numbers(true)
    if [x.shape for x in found] != [x.shape for x in true]:
        return float("inf")
    shares = [0.0]
    for a, b in zip(found, true):
        off = (a - b).abs().masked_fill((a == b) | (a.isnan() & b.isnan()), 0)
        largest = b.masked_fill(~b.isfinite(), 0).abs()
        shares += [(off.max() / largest.max().clamp_min(0.1)).item()] if off.numel() else []
    return max(shares)


def outcome(function: str, name: str) -> str:
    """What the table says: "exact", "exact, by …", or the words of the refusal; fails if it is neither."""
    case, doing = TABLE[function], function_of(function)
    model = model_of(name, case.n_layers)
    try:
        with torch.no_grad():
            found = case.call(doing, model)
    except ValueError as refusal:
        return f"refused: {words(str(refusal), model.cfg.model_name)}"
    missed = architecture.described(model).words(getattr(doing, "leaves_out", ()))
    road = case.beyond if case.beyond and (missed or name not in ("paper", "mlp")) else case.road
    how = f"exact, by `{doing.exact.partition(':')[2]}`" if missed else "exact"
    if isinstance(road, str) and road.endswith(".py"):
        assert re.search(
            rf"\b{doing.__name__}\b|\b{(getattr(doing, 'exact', '') or ' ').partition(':')[2]}\b",
            (ROOT / "tests" / road).read_text("utf-8"),
        )
        return f"{how} ({road})"
    slow = slow_model(name, case.n_layers)
    with torch.no_grad():
        true = case.call(doing, slow) if road == "slow" else road(name, slow)
    assert distance(found, true) < TOLERANCE, f"{function} on {name}: off by {distance(found, true):.2g}"
    return how


def words(sentence: str, name: str) -> str:
    """A refusal without the name of the folder that the model was loaded from, and of the function."""
    sentence = sentence.replace(name, "it").replace(name.rpartition("/")[2], "it")
    listed = re.search(r"leaves out what it has \((.*?)\)", sentence)
    return listed[1] if listed else sentence


def row(function: str) -> str:
    """A line of the table: where the function is exact, and where it refuses, for what."""
    by_outcome = {}
    for name in NAMES:
        by_outcome.setdefault(outcome(function, name), []).append(name)
    exact = [f"{how}: {', '.join(on)}" for how, on in by_outcome.items() if how.startswith("exact")]
    refused = [f"{', '.join(on)}: {how[9:]}" for how, on in by_outcome.items() if how.startswith("refused")]
    return f"| `{function.replace(':', '.')}` | {'; '.join(exact)} | {'; '.join(refused)} |"


HEADER = """# Functions and models

Every function of the package that takes a model, on random small models of each architecture: the paper's (`paper`), with
MLPs (`mlp`) or LayerNorm (`layernorm`), as they ship, and the real classes of transformers for GPT-2, OPT, Pythia (GPT-NeoX),
Llama, Qwen 2, Qwen 3 and Gemma 2. *Exact* means equal to a second road: the same run on transformers' own modules, without
TransformerLens, or whole matrices multiplied out, to a ten-thousandth of the largest number; or to the road that the
tests in brackets walk. *By* names the generalisation that is called in the formula's place. Everything else is refused,
in one sentence, for what the model has and the formula leaves out.

`tests/test_architectures.py` makes this table, and fails if it is out of date.

| function | exact | refused |
|---|---|---|
"""


def page() -> str:
    """The whole page."""
    return HEADER + "\n".join(row(function) for function in sorted(TABLE)) + "\n"


def test_no_public_function_is_left_out_of_the_table():
    public = public_functions()
    assert [name for name in public if name not in TABLE and not name.startswith(tuple(APART))] == []
    assert set(TABLE) - set(public) == {"one_layer.skip_trigrams:skip_trigram_score"}  # which takes circuits


def test_every_function_is_exact_or_refused_and_the_page_says_which():
    assert PAGE.read_text(encoding="utf-8") == page()


RIGHT = {
    "gpt2": "LayerNorm; biases of W_Q and W_K; biases of W_V and W_O; learned positions in the stream; plain MLPs",
    "opt": "LayerNorm; biases of W_Q and W_K; biases of W_V and W_O; learned positions in the stream; plain MLPs; "
    "patterns that no hook can change",
    "pythia": "LayerNorm; biases of W_Q and W_K; biases of W_V and W_O; rotary positions; plain MLPs beside the attention",
    "llama": "RMSNorm; rotary positions; gated MLPs; 2 key/value heads for 4 query heads",
    "qwen2": "RMSNorm; biases of W_Q and W_K; biases of W_V and W_O; rotary positions; gated MLPs; "
    "2 key/value heads for 4 query heads",
    "qwen3": "RMSNorm; rotary positions; norms of queries and keys; gated MLPs; 2 key/value heads for 4 query heads",
    "gemma2": "RMSNorm; rotary positions; capped scores and windows of attention and another scale of scores; gated MLPs; "
    "2 key/value heads for 4 query heads; norms of what layers write and another embedding than W_E; capped logits",
    "bloom": "LayerNorm; biases of W_Q and W_K; biases of W_V and W_O; ALiBi positions; plain MLPs; a norm of the embedding",
    "layernorm": "LayerNorm; biases of W_Q and W_K; biases of W_V and W_O; learned positions in the stream",
    "mlp": "plain MLPs",
    "paper": "",
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_a_model_is_made_of_is_read_off(name):
    found = architecture.described(model_of(name))
    assert "; ".join(found.words(architecture.EVERYTHING)) == RIGHT[name]


@pytest.mark.parametrize("name", ["one-layer", "two-layer", "one-layer-mlp", "layernorm", "small-seed-1"])
def test_the_models_that_ship_are_of_the_kinds_that_the_table_names(name):
    kind = {"one-layer-mlp": "mlp", "layernorm": "layernorm"}.get(name, "paper")
    found = architecture.described(models.load(name))
    assert "; ".join(found.words(architecture.EVERYTHING)) == RIGHT[kind]


@pytest.mark.parametrize("network", ["rotary positions", "smeared keys", "learned positions", "first-layer positions"])
def test_variants_of_our_own_networks_are_told_apart(network):
    shape = models.config(2, d_model=32, n_heads=4, n_ctx=32, d_vocab=64)
    found = architecture.described(models.bridge(ALL_NETWORKS[network](shape), None, network))
    kind = {"rotary positions": "scores", "smeared keys": "scores"}.get(network, "positions")
    assert getattr(found, kind)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_a_model_whose_norms_were_folded_is_taken_apart_as_exactly(name):
    model = released.__wrapped__(name, 2)
    true = model(tokens(model)).log_softmax(-1)
    assert "norms" in paths.path_expansion.leaves_out
    model.enable_compatibility_mode()
    found = sum(paths.path_expansion(model, tokens(model)).values()).log_softmax(-1)
    torch.testing.assert_close(found, true, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("point", ["q", "k", "v"])
@pytest.mark.parametrize("name", NAMES)
def test_one_head_is_changed_or_its_group_is_named(name, point):
    """No query, or no key, looks at all alike; twice the value is twice the z; and no other head is changed."""
    model, (layer, head) = model_of(name), HEAD
    shared = architecture.described(model).groups and point in "kv"
    change = (lambda x: 2 * x) if point == "v" else torch.zeros_like
    if shared:
        with pytest.raises(ValueError, match="heads 1:2 to 1:3 share one"):
            interventions.on_head(model, HEAD, point, change)
        return
    rows = tokens(model)[:, :5]  # within a window of attention
    before = model.run_with_cache(rows)[1]
    with model.hooks(fwd_hooks=[interventions.on_head(model, HEAD, point, change)]):
        after = model.run_with_cache(rows)[1]
    others = [other for other in range(model.cfg.n_heads) if other != head]
    torch.testing.assert_close(after["z", layer][:, :, others], before["z", layer][:, :, others])
    if point == "v":
        torch.testing.assert_close(after["z", layer][:, :, head], 2 * before["z", layer][:, :, head])
    else:
        alike = torch.ones(5, 5).tril() / torch.arange(1, 6)[:, None]
        torch.testing.assert_close(after["pattern", layer][:, head], alike.expand(3, 5, 5), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_random_tokens_begin_with_the_model_s_own_token(name):
    model = model_of(name)
    begins = architecture.bos(model)
    assert begins == (0 if name in COURSE else 3)
    rows = behaviour.repeated_tokens(model.cfg.d_vocab, 40, 2, 50, seed=1, bos=begins)
    assert (rows == begins).sum(1).tolist() == [1] * 50
    assert (rows[:, 0] == begins).all()
    assert set(rows[:, 1:].unique().tolist()) == set(range(model.cfg.d_vocab)) - {begins}


def test_a_model_without_a_first_token_is_told_to_get_one():
    model = SimpleNamespace(original_model=torch.nn.Linear(1, 1), tokenizer=None, cfg=SimpleNamespace(model_name="it"))
    with pytest.raises(ValueError, match="it has no token that begins a text"):
        architecture.bos(model)


@pytest.mark.parametrize("name", ["paper", "mlp", "layernorm", "gpt2", "llama"])
def test_scores_relative_to_bos_are_zero_for_the_model_s_own(name):
    qk = circuits.qk_circuit(model_of(name), 0, 1)
    relative = searches.relative_to(qk).AB
    begins = architecture.bos(model_of(name))
    torch.testing.assert_close(relative[:, begins], torch.zeros(80), atol=1e-4, rtol=0)
    torch.testing.assert_close(relative, qk.AB - qk.AB[:, [begins]], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["zero-layer", "two-layer", "one-layer-mlp", "layernorm"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_prompts_of_different_lengths_give_what_each_gives_alone(name, side):
    model, texts = models.load(name), ["for i in", "def f(x):\n    return x", "class"]
    alone = [model(text)[0] for text in texts]
    together = model(texts, padding_side=side)
    for mine, true in zip(together, alone):
        found = mine[: len(true)] if side == "right" else mine[-len(true) :]
        torch.testing.assert_close(found, true, atol=1e-4, rtol=1e-4)
    losses = [model(text, return_type="loss", loss_per_token=True)[0] for text in texts]
    loss = model(texts, return_type="loss", padding_side=side)
    torch.testing.assert_close(loss, torch.cat(losses).mean(), atol=1e-4, rtol=0)


def test_padding_that_ids_do_not_tell_from_text_is_refused():
    model = models.load("two-layer")
    texts = ["for i in", "def f(x):\n    return x"]
    right, left = (model.to_tokens(texts, padding_side=side) for side in ("right", "left"))
    with pytest.raises(ValueError, match=r"padded on the right.*give the texts"):
        model(right, return_type="loss")
    with pytest.raises(ValueError, match=r"padded on the left.*give the texts"):
        model(left)
    alone = model(texts[0])  # on the right, padding does no harm to the logits before it
    torch.testing.assert_close(model(right)[:1, : alone.shape[1]], alone, atol=1e-4, rtol=1e-4)
    same = model.to_tokens(["for i in", "for j in"])
    assert model(same, return_type="loss").isfinite()
    twice = torch.tensor([[0, 0, 5], [0, 7, 5]])  # nothing forbids `<BOS>` in a place where another token was tried
    assert model(twice).shape[:2] == (2, 3)


def test_generated_texts_of_different_lengths_are_those_of_each_alone():
    model, texts = models.load("two-layer"), ["for i in", "def f(x):\n    return x"]
    options = {"max_new_tokens": 4, "do_sample": False, "verbose": False}
    assert model.generate(texts, **options) == [model.generate(text, **options) for text in texts]


def test_patterns_that_no_hook_can_change_are_not_changed_without_a_word():
    model = model_of("opt")
    wrapped = copy.copy(model)
    wrapped.__class__ = models.CourseBridge
    pattern = model.run_with_cache(tokens(model))[1]["pattern", 0]
    with pytest.raises(ValueError, match="no hook can change"):
        wrapped.run_with_hooks(tokens(model), fwd_hooks=paths.freeze([pattern]))
    with pytest.raises(ValueError, match="patterns that no hook can change: change the head's z"):
        interventions.on_head(model, HEAD, "pattern", torch.zeros_like)


def test_values_that_heads_share_are_not_summed_as_if_they_were_each_head_s_own():
    model = model_of("llama")
    run = model.run_with_cache(tokens(model)[:1])[1]
    patterns = torch.stack([run["pattern", layer][0] for layer in range(3)])
    with pytest.raises(ValueError, match=r"2 W_V for 4 W_O.*paths\.path_expansion"):
        attribution.path_sources(run["hook_embed"][0], patterns, model.W_V, model.W_O, model.W_U[:, :2], 3)


def test_a_decorator_with_a_kind_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match="there is no kind 'wings'"):
        architecture.leaves_out("wings")


def test_a_circuit_is_handed_on_without_being_multiplied_out(monkeypatch):
    model, asked = model_of("llama"), []
    monkeypatch.setattr(FactoredMatrix, "AB", property(lambda self: asked.append(self)))
    circuit = circuits.qk_circuit(model, 0, 0)
    assert circuit.model is model
    assert not asked


def test_every_generalisation_that_a_decorator_names_is_there_and_takes_the_same_arguments():
    named = {name: function_of(name) for name in TABLE if getattr(function_of(name), "exact", "")}
    assert len(named) > 10
    for name, function in named.items():
        mine = list(inspect.signature(function).parameters)
        theirs = list(inspect.signature(architecture.named(function.exact)).parameters)
        assert theirs[: len(mine)] == mine, name


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
