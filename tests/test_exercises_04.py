"""The checks of notebook 04 accept right answers written in other ways, and name each classic mistake."""

import pytest
import torch
from einops import einsum

from walkthrough import models, paths
from walkthrough.circuits import centred, ov_circuit, qk_circuit
from walkthrough.exercises import EXERCISES
from walkthrough.exercises.check import verdict
from walkthrough.exercises.expanding import PATH_MISTAKES, each_path, small_models
from walkthrough.one_layer.skip_trigrams import rise, skip_trigram_score


def right_paths(model, tokens):
    """From the last layer backwards: each head's logits for every stream that it could read."""
    cache = model.run_with_cache(tokens)[1]
    found = {"": cache["hook_embed"]}
    for layer in range(model.cfg.n_layers):
        moved = einsum(
            cache["pattern", layer], torch.stack(list(found.values())), model.W_V[layer], model.W_O[layer],
            "batch head query key, path batch key read, head read d_head, head d_head write -> path head batch query write",
        )  # fmt: skip
        for path, heads in zip(list(found), moved):
            for head, stream in enumerate(heads):
                found[" → ".join(filter(None, [path, f"{layer}:{head}"]))] = stream
    return {path or "direct": stream @ model.W_U for path, stream in found.items()}


def right_qk(model, layer, head):
    queries, keys = model.W_E @ model.W_Q[layer, head], model.W_E @ model.W_K[layer, head]
    return einsum(queries, keys, "query d_head, key d_head -> query key") / model.cfg.d_head**0.5


def right_ov(model, layer, head):
    return (model.W_E @ model.W_V[layer, head]) @ (model.W_O[layer, head] @ model.W_U)


def right_centred(circuit):
    return circuit.AB - circuit.AB.mean(-1)[:, None]


def right_score(qk, ov, source, destination, outs):
    shares = qk.AB[destination][[source, 0]].softmax(0)
    table = centred(ov).AB
    return (shares[0] * sum(table[source, out] for out in outs) / len(outs)).item()


def right_rise(with_source, without, outs):
    after, before = (log_probs.exp()[:, outs].sum(1) for log_probs in (with_source, without))
    return (after / before).log()


RIGHT = {
    "4.1": right_paths,
    "4.2": right_qk,
    "4.3": right_ov,
    "4.4": right_centred,
    "4.5": right_score,
    "4.6": right_rise,
}


def changed(path, change):
    """The right answer with one path changed, or taken out."""

    def attempt(model, tokens):
        terms = right_paths(model, tokens)
        new = change(terms.pop(path))
        return terms if new is None else terms | {path: new}

    return attempt


def within_a_layer(model, tokens):
    """Each head also reads what the heads before it in its own layer wrote."""
    streams, pattern = {"direct": model.W_E[tokens]}, model.run_with_cache(tokens)[1]["pattern", 0]
    for head in range(model.cfg.n_heads):
        for path, stream in list(streams.items()):
            name = f"0:{head}" if path == "direct" else f"{path} → 0:{head}"
            streams[name] = paths.head_output(pattern[:, head], stream, model.W_V[0, head], model.W_O[0, head])
    return {path: stream @ model.W_U for path, stream in streams.items()}


def while_looping(model, tokens):
    streams = {"direct": model.W_E[tokens]}
    for path, stream in streams.items():
        streams[path + "0"] = stream
    return streams


def renamed(rename):
    return lambda *case: {rename(path): term for path, term in right_paths(*case).items()}


GENERIC = [
    *(("4.1", mistake, sentence) for sentence, mistake in PATH_MISTAKES.items() if "text" not in sentence),
    ("4.1", lambda *case: list(right_paths(*case).values()), "return a dict"),
    ("4.1", lambda *case: right_paths(*case).keys(), "return a dict"),
    ("4.1", renamed(lambda path: path.replace(" → ", "->")), "of 25 paths are missing"),
    ("4.1", renamed(lambda path: path.replace(":", ".")), "yours has '0.0' instead"),
    ("4.1", renamed(lambda path: tuple(map(int, path.split(":"))) if path[1:2] == ":" and len(path) == 3 else path),
     'the text "0:3"'),
    ("4.1", renamed(lambda path: int(path[2]) if path[1:2] == ":" and len(path) == 3 else path), 'the text "0:3"'),
    ("4.1", changed("0:2", lambda term: None), 'the first of them "0:2"'),
    ("4.1", lambda *case: right_paths(*case) | {"0:9": torch.zeros(1)}, "there is no path '0:9'"),
    ("4.1", changed("0:2", lambda term: 2 * term), '"0:2" is off by the constant factor 2'),
    ("4.1", changed("0:2", lambda term: term + 1), '1 of 5 paths have wrong values; look at "0:2" first'),
    ("4.1", changed("0:2", lambda term: term[0]), 'the shape of "0:2" is [5, 64]'),
    ("4.1", changed("direct", lambda term: term[..., :32]), "is W_U missing?"),
    ("4.1", changed("direct", lambda term: 3.0), '"direct" should be a tensor'),
    ("4.1", within_a_layer, '"0:0 → 0:1" is no path: heads of one layer'),
    ("4.1", while_looping, "new paths went into the dict that a loop was going through"),
    ("4.1", lambda model, tokens: model.W_V[tokens], "your code stopped with IndexError"),
    ("4.2", lambda *case: -right_qk(*case), "the sign is flipped"),
    ("4.2", lambda *case: 3 * right_qk(*case), "constant factor 3"),
    ("4.2", lambda *case: right_qk(*case)[1:], "wrong shape"),
    ("4.2", lambda m, a, h: m.W_E @ m.QK[a, h] @ m.W_U @ m.W_U, "your code stopped with"),
    ("4.3", lambda *case: right_ov(*case) / 3, "constant factor 0.33"),
    ("4.3", lambda *case: right_ov(*case)[:, 1:], "wrong shape"),
    ("4.3", lambda m, a, h: m.W_E @ m.W_O[a, h] @ m.W_V[a, h] @ m.W_U, "your code stopped with RuntimeError"),
    ("4.4", lambda c: type(c)(c.A, c.B - c.B.mean(-1)), "keepdim=True"),
    ("4.4", lambda c: right_centred(c)[1:], "wrong shape"),
    ("4.5", lambda *case: -right_score(*case), "the sign is flipped"),
    ("4.5", lambda *case: 0.0, "the values differ"),
    ("4.5", lambda *case: torch.tensor([right_score(*case)]), "an axis of length 1 too many"),
    ("4.6", lambda w, o, t: right_rise(o, w, t), "the sign is flipped"),
    ("4.6", lambda *case: right_rise(*case)[1:], "wrong shape"),
    *((label, lambda *case: None, "returned None") for label in RIGHT),
]  # fmt: skip


@pytest.mark.parametrize("label", ["4.4"])
def test_a_forgotten_keepdim_is_named_whether_it_stops_the_code_or_not(label):
    silent = verdict(label, lambda circuit: circuit.AB - circuit.AB.mean(-1))
    loud = verdict(label, lambda circuit: type(circuit)(circuit.A, circuit.B - circuit.B.mean(-1)))
    assert "keepdim" in silent.sentence
    assert "keepdim" in loud.sentence


def test_circuits_may_be_tables_or_factors():
    for label, answer in (("4.2", qk_circuit), ("4.3", ov_circuit), ("4.4", centred), ("4.5", skip_trigram_score)):
        assert verdict(label, answer).mark == "✓"
    assert verdict("4.6", rise).mark == verdict("4.1", paths.path_expansion).mark == "✓"


def test_a_term_for_each_head_is_right_for_one_layer_and_its_fault_with_two_is_named():
    one, two = small_models()
    heads_only = lambda *case: {path: term for path, term in right_paths(*case).items() if "→" not in path}
    judge = EXERCISES["4.1"].judge
    assert judge(heads_only(*one), *one) is None
    assert "right for one layer" in judge(heads_only(*two), *two)


def test_the_paths_of_the_check_add_up_to_the_logits():
    for (model, tokens), n_paths in zip(small_models(), (5, 25)):
        terms = each_path(model, tokens)
        assert len(terms) == n_paths
        torch.testing.assert_close(sum(terms.values()), model(tokens), rtol=1e-4, atol=1e-5)


def test_answers_hold_for_a_model_and_not_only_for_random_weights():
    """Score: the logits that arrive on a prompt of three tokens."""
    model = models.tiny(1, seed=4).double()
    model.W_pos.data.zero_()
    source, destination, outs = 5, 9, [17, 2]
    pattern = model.run_with_cache(torch.tensor([[0, source, destination]]))[1]["pattern", 0][0, 2, 2]
    table = ov_circuit(model, 0, 2).AB
    arrives = pattern[1] / (pattern[0] + pattern[1]) * (table[source] - table[source].mean())
    score = right_score(qk_circuit(model, 0, 2), ov_circuit(model, 0, 2), source, destination, outs)
    torch.testing.assert_close(torch.tensor(score).double(), arrives[outs].mean())
