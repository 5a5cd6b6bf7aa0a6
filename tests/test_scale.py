"""Scores and eigenvalues of all heads, by dense products in loops, and by TransformerLens' own scores."""

import subprocess
import sys

import pytest
import torch
from architectures import course, model_of
from safetensors.torch import load_file

from walkthrough import circuits, models
from walkthrough.beyond import positivity, processes, scale
from walkthrough.two_layers import composition

KINDS = ("paper", "layernorm", "gpt2", "llama", "gemma2", "opt", "pythia", "bloom", "qwen3")
THROUGH_NORMS = ("paper", "layernorm", "gpt2", "llama", "gemma2")


def dense(model, layer, head, gains):
    """W_Q, W_K, W_V as they read the stream, and W_O, of one head: each by itself, in float64."""
    attn = model.blocks[layer].attn
    group = head // (model.cfg.n_heads // len(attn.W_K))
    through = read_through(model.blocks[layer].ln1, model.cfg.d_model, gains)
    weights = (through @ w.double() for w in (attn.W_Q[head], attn.W_K[group], attn.W_V[group]))
    return *weights, attn.W_O[head].double()


def read_through(norm, d_model, gains):
    """What a norm does to a stream but for its scale, as one matrix to multiply a row with."""
    kept = torch.eye(d_model, dtype=torch.float64)
    if not gains or not hasattr(norm, "hook_scale"):
        return kept
    if not norm.uses_rms_norm:
        kept -= 1 / d_model
    return kept @ (norm.weight.double() + norm.uses_weight_offset).diag()


def pairs(model):
    heads = [(layer, head) for layer in range(model.cfg.n_layers) for head in range(model.cfg.n_heads)]
    return [(first, second) for first in heads for second in heads if first[0] < second[0]]


def positive(table):
    eigenvalues = torch.linalg.eigvals(table - table.mean(1, keepdim=True))
    return eigenvalues.sum().real / eigenvalues.abs().sum()


@pytest.mark.parametrize("name", KINDS)
def test_scores_are_those_of_transformer_lens_for_every_pair(name):
    model = model_of(name, 3)
    mine = scale.all_pairs_scores(model)
    assert mine.shape == (3, 3, 4, 3, 4)
    for kind, scores in zip("QKV", mine):
        torch.testing.assert_close(scores, model.all_composition_scores(kind).scores, rtol=2e-5, atol=1e-6)
    assert all((mine[:, write, :, read] == 0).all() == (read <= write) for write in range(3) for read in range(3))


@pytest.mark.parametrize("gains", [False, True])
@pytest.mark.parametrize("name", THROUGH_NORMS)
def test_scores_by_dense_products(name, gains):
    model = model_of(name, 3)
    mine = scale.all_pairs_scores(model, "KV", gains=gains)
    for first, second in pairs(model)[::5]:
        _, _, W_V, W_O = dense(model, *first, gains)
        W_Q, W_K, later_V, later_O = dense(model, *second, gains)
        wrote = W_V @ W_O
        for found, read in zip(mine, (W_K @ W_Q.T, later_V @ later_O)):
            expected = (wrote @ read).norm() / (wrote.norm() * read.norm())
            torch.testing.assert_close(found[(*first, *second)].double(), expected, rtol=2e-5, atol=0)


@pytest.mark.parametrize("strip", [1, 5, 31, 32, 100])
def test_strips_of_any_height_give_the_same_scores(strip):
    model = model_of("llama", 3)
    torch.testing.assert_close(scale.all_pairs_scores(model, "QK", strip=strip), scale.all_pairs_scores(model)[:2])


def test_scores_in_float64_and_those_of_half_precision_are_computed_in_float32():
    model = models.tiny(3, seed=1).double()
    torch.testing.assert_close(scale.all_pairs_scores(model, "Q")[0], model.all_composition_scores("Q").scores)
    half = models.tiny(3, seed=1).half()
    assert scale.all_pairs_scores(half).dtype == torch.float32


def test_heads_that_write_where_another_does_not_read_score_zero():
    """No square of a norm is below zero, however it is rounded."""
    model = models.tiny(2, seed=1)
    with torch.no_grad():
        for block in model.blocks:
            block.attn.o.weight[:16] = 0
            block.attn.k.weight[:, 16:] = 0
    assert (scale.all_pairs_scores(model, "K") < 1e-3).all()


@pytest.mark.parametrize("gains", [False, True])
@pytest.mark.parametrize("name", THROUGH_NORMS)
def test_ov_positivities_by_whole_circuits(name, gains):
    model = model_of(name, 3)
    mine = positivity.ov_positivities(model, gains=gains)
    before_W_U = read_through(model.ln_final if name != "paper" else None, model.cfg.d_model, gains)
    for layer, head in [(0, 0), (1, 3), (2, 2)]:
        _, _, W_V, W_O = dense(model, layer, head, gains)
        whole = model.W_E.double() @ W_V @ W_O @ before_W_U @ model.W_U.double()
        torch.testing.assert_close(mine[layer, head].double(), positive(whole), rtol=0, atol=1e-4)


def test_on_the_papers_models_they_are_those_of_the_course():
    model = models.tiny(2, seed=3).double()
    mine = positivity.ov_positivities(model), positivity.k_composed_positivities(model)
    for head in range(4):
        ov = circuits.eigenvalue_positivity(circuits.centred(circuits.ov_circuit(model, 1, head)))
        torch.testing.assert_close(mine[0][1, head], ov)
    for first, second in pairs(model):
        circuit = circuits.centred(composition.k_composed_circuit(model, first, second))
        torch.testing.assert_close(mine[1][(*first, *second)], circuits.eigenvalue_positivity(circuit))


@pytest.mark.parametrize("gains", [False, True])
@pytest.mark.parametrize("name", THROUGH_NORMS)
def test_k_composed_positivities_by_whole_circuits(name, gains):
    model = model_of(name, 3)
    mine = positivity.k_composed_positivities(model, gains=gains)
    possible = pairs(model)
    assert (~mine.isnan()).sum() == len(possible)
    W_E = model.W_E.double()
    for first, second in possible[::5]:
        _, _, W_V, W_O = dense(model, *first, gains)
        W_Q, W_K, _, _ = dense(model, *second, gains)
        whole = (W_E @ W_Q) @ (W_E @ W_V @ W_O @ W_K).T
        torch.testing.assert_close(mine[(*first, *second)].double(), positive(whole), rtol=0, atol=1e-4)


def test_a_rotation_turns_what_heads_write():
    model, twin = models.tiny(2, seed=3), models.tiny(2, seed=3)
    R = circuits.random_rotation(32, 0)
    with torch.no_grad():
        for block in twin.blocks:
            block.attn.o.weight.copy_(R.T.float() @ block.attn.o.weight)
    for each in (positivity.ov_positivities, positivity.k_composed_positivities):
        torch.testing.assert_close(each(model, R=R), each(twin), equal_nan=True, rtol=1e-3, atol=1e-4)
        assert (each(model, R=R) - each(model)).abs().nan_to_num().max() > 0.1


@pytest.mark.parametrize("function", [scale.all_pairs_scores, positivity.k_composed_positivities])
def test_the_bar_counts_every_step_and_an_interruption_leaves_nothing_behind(function, capsys):
    model = models.tiny(3, seed=2)
    expected = function(model)
    torch.testing.assert_close(function(model, mapped=scale.with_bar), expected, equal_nan=True)
    assert "100%" in capsys.readouterr().err
    before = {name: weight.clone() for name, weight in model.state_dict().items()}

    def interrupted(step_function, steps):
        yield step_function(steps[0])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        function(model, mapped=interrupted)
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, before[name])
    torch.testing.assert_close(function(model), expected, equal_nan=True)


def test_bad_input_gets_one_sentence():
    model = models.tiny(2)
    for wrong in ("", "q", "QX"):
        with pytest.raises(ValueError, match="heads read what others wrote as Q, K, V"):
            scale.all_pairs_scores(model, wrong)
    with pytest.raises(ValueError, match=r"a strip of 0 rows: take 1 or more"):
        scale.all_pairs_scores(model, strip=0)
    with pytest.raises(ValueError, match=r"it is \[16, 16\], not \[32, 32\]"):
        positivity.ov_positivities(model, R=circuits.random_rotation(16, 0))
    for function in (scale.all_pairs_scores, positivity.ov_positivities, positivity.k_composed_positivities):
        with pytest.raises(ValueError, match="has no layers, and so no heads"):
            function(models.tiny(0))


def test_alone_over_processes_is_map():
    assert processes.over_processes(lambda step: 2 * step, range(3)) == [0, 2, 4]


def test_two_processes_find_the_same_numbers(tmp_path):
    file = tmp_path / "scores.safetensors"
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
            "-m", "walkthrough.beyond.processes", "small-seed-1", str(file)]  # fmt: skip
    done = subprocess.run(line, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "by 2 processes" in done.stdout
    found, model = load_file(file), models.load("small-seed-1")
    torch.testing.assert_close(found["scores"], scale.all_pairs_scores(model))
    torch.testing.assert_close(found["ov"], positivity.ov_positivities(model))
    torch.testing.assert_close(found["k_composed"], positivity.k_composed_positivities(model), equal_nan=True)


def test_a_model_with_an_encoder_is_refused():
    model = course("paper")
    model.encoder_blocks = torch.nn.ModuleList()  # what TransformerLens tells such models by
    try:
        with pytest.raises(ValueError, match="has an encoder and a decoder, each with its own stream"):
            scale.all_pairs_scores(model)
    finally:
        del model.encoder_blocks
