"""The checks of notebook 14 accept right answers written in other ways, and name each classic mistake."""

import pytest
import torch
from einops import einsum

from walkthrough.beyond import layernorm, mlp
from walkthrough.exercises import EXERCISES
from walkthrough.exercises.check import verdict
from walkthrough.exercises.folding import FOLD_MISTAKES, FROZEN_MISTAKES
from walkthrough.exercises.neurons import READING_MISTAKES, TERM_MISTAKES


def right_fold(gain, bias, W, b):
    weighted = torch.diag(gain) @ W
    return weighted - weighted.mean(0), einsum(bias, W, "d_model, d_model out -> out") + b


def right_paths(weights, tokens, patterns, scales):
    """Unembedded at once, and with a dict that holds logits' streams already divided."""
    n_layers, n_heads = weights.W_V.shape[:2]
    resid = weights.W_E[tokens]
    streams = {"tokens": resid, "positions": torch.zeros_like(resid) + weights.W_pos[: resid.shape[1]]}
    for layer in range(n_layers):
        new = {}
        for head in range(n_heads):
            W_OV = weights.W_V[layer, head] @ weights.W_O[layer, head]
            for path, stream in streams.items():
                moved = patterns[layer][:, head] @ ((stream / scales[layer]) @ W_OV)
                new[f"{path} → {layer}:{head}"] = moved
            written = weights.b_V[layer, head] @ weights.W_O[layer, head]
            new[f"b_V {layer}:{head}"] = torch.zeros_like(resid) + written
        new[f"b_O {layer}"] = torch.zeros_like(resid) + weights.b_O[layer]
        streams |= new
    terms = {path: (stream / scales[-1]) @ weights.W_U for path, stream in streams.items()}
    terms["b_U"] = torch.zeros_like(terms["tokens"]) + weights.b_U
    return terms


def right_terms(model, tokens):
    _, cache = model.run_with_cache(tokens)
    z, W_in = cache["blocks.0.attn.hook_z"], model.W_in[0]
    wrote = einsum(z, model.W_O[0], "batch pos head d_head, head d_head d_model -> head batch pos d_model")
    terms = {f"0:{head}": each @ W_in for head, each in enumerate(wrote)}
    terms["direct"] = model.W_E[tokens] @ W_in
    terms["b_in"] = model.b_in[0].repeat(*tokens.shape, 1)
    return terms


def right_readings(W_E, W_in, W_out, W_U, k):
    read = (W_E @ W_in).argsort(0, descending=True)[:k].T
    return read, (W_out @ W_U).argsort(-1, descending=True)[:, :k]


def right_cosines(W_in, W_out):
    return torch.nn.functional.cosine_similarity(W_in.T, W_out, dim=-1)


RIGHT = {
    "14.1": right_fold,
    "14.2": right_paths,
    "14.3": right_terms,
    "14.4": right_readings,
    "14.5": right_cosines,
}
PACKAGE = {
    "14.1": layernorm.fold,
    "14.2": layernorm.frozen_paths,
    "14.3": mlp.preactivation_terms,
    "14.4": mlp.readings,
    "14.5": mlp.in_out_cosine,
}
JUDGED = {"14.1": FOLD_MISTAKES, "14.2": FROZEN_MISTAKES, "14.3": TERM_MISTAKES, "14.4": READING_MISTAKES}


@pytest.mark.parametrize("answers", [RIGHT, PACKAGE], ids=["written in other ways", "the package's"])
@pytest.mark.parametrize("label", RIGHT)
def test_right_answers_are_right(label, answers):
    assert verdict(label, answers[label]).sentence == "right"


def centred_logits(W_E, W_in, W_out, W_U, k):
    logits = W_out @ W_U
    return (W_E @ W_in).T.topk(k).indices, (logits - logits.mean(-1, keepdim=True)).topk(k).indices


def test_readings_of_centred_logits_are_the_same_tokens():
    assert verdict("14.4", centred_logits).sentence == "right"


@pytest.mark.parametrize(
    ("label", "sentence"), [(label, sentence) for label, mistakes in JUDGED.items() for sentence in mistakes]
)
def test_each_mistake_has_its_own_sentence(label, sentence):
    result = verdict(label, JUDGED[label][sentence])
    assert (result.mark, result.sentence) == ("✗", sentence)


@pytest.mark.parametrize("sentence", EXERCISES["14.5"].mistakes)
def test_each_mistake_with_cosines_has_its_own_sentence(sentence):
    result = verdict("14.5", EXERCISES["14.5"].mistakes[sentence])
    assert (result.mark, result.sentence) == ("✗", sentence)


GENERIC = [
    ("14.1", lambda g, c, W, b: (g * W, b), "gain[:, None] * W"),
    ("14.1", lambda g, c, W, b: (W * g, b), "gain[:, None] * W"),
    ("14.1", lambda g, c, W, b: (W, b), "W_folded is wrong"),
    ("14.1", lambda g, c, W, b: right_fold(g, c, W, b)[0], "return two tensors"),
    ("14.1", lambda g, c, W, b: (right_fold(g, c, W, b)[0].T, b), "wrong shape: your W_folded"),
    ("14.1", lambda g, c, W, b: (right_fold(g, c, W, b)[0], -b), "b_folded is wrong"),
    ("14.2", lambda *case: [*right_paths(*case)], "not a list"),
    ("14.2", lambda *case: {k.replace("→", "->"): v for k, v in right_paths(*case).items()}, "paths are missing"),
    ("14.2", lambda *case: right_paths(*case) | {"mlp": 0}, "no path 'mlp'"),
    ("14.2", lambda *case: right_paths(*case) | {"b_U": case[0].b_U}, 'the shape of "b_U"'),
    ("14.2", lambda *case: {k: 2 * v for k, v in right_paths(*case).items()}, "paths have wrong values"),
    ("14.3", lambda m, t: [*right_terms(m, t)], "not a list"),
    ("14.3", lambda m, t: {k.replace("0:", "1:"): v for k, v in right_terms(m, t).items()}, '"0:0" is missing'),
    ("14.3", lambda m, t: right_terms(m, t) | {"b_out": 0}, "no term 'b_out'"),
    ("14.3", lambda m, t: right_terms(m, t) | {"b_in": m.b_in[0]}, 'the shape of "b_in"'),
    ("14.3", lambda m, t: {k: 2 * v for k, v in right_terms(m, t).items()}, "are wrong"),
    ("14.4", lambda *case: right_readings(*case)[0], "return Readings"),
    ("14.4", lambda *case: tuple(x[:, 1:] for x in right_readings(*case)), "wrong shape: your read"),
    ("14.4", lambda *case: tuple(x.flip(1) for x in right_readings(*case)), "not in order"),
    ("14.5", lambda i, o: -right_cosines(i, o), "sign is flipped"),
    ("14.5", lambda i, o: right_cosines(i, o)[:, None], "axis of length 1"),
    *((label, lambda *case: None, "returned None") for label in RIGHT),
]  # fmt: skip


@pytest.mark.parametrize(("label", "answer", "part"), GENERIC)
def test_other_wrong_answers_are_told_what_is_wrong(label, answer, part):
    result = verdict(label, answer)
    assert (result.mark, part in result.sentence) == ("✗", True), result.sentence


def test_one_prompt_for_the_whole_batch_is_not_enough():
    """A mistake that the first case of a judge cannot see is seen by another one."""

    def only_one_layer(weights, tokens, patterns, scales):
        terms = right_paths(weights, tokens, patterns, scales)
        return {path: term for path, term in terms.items() if path.count("→") < 2}

    assert "paths are missing" in verdict("14.2", only_one_layer).sentence
