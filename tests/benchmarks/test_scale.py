"""All pairs' composition scores of a model of SmolLM2's shape, by us and by TransformerLens; nothing is asserted about time.

`python tests/run.py benchmarks -k scale`, on an idle machine. Each measurement is a process of its own, so that its memory
is; TransformerLens' has a limit, takes fewer layers, and is extrapolated: seconds as a + b · layers + c · layers²
with none of them below zero, memory as layers². Models are random, since no cost depends on the weights.
TransformerLens on two threads of a machine that does other things too can take ten times what it takes on one.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import pytest
from scipy.optimize import nnls

LIMIT = 12 * 2**30  # bytes of address space for TransformerLens, of which PyTorch itself takes 2 to 3
SHAPE = {"layers": 30, "heads": 9, "key_heads": 3, "d_head": 64, "d_model": 576, "vocabulary": 49152}


def random_model(layers, heads, key_heads, d_head, d_model, vocabulary):
    """A random Llama, tied, whose MLPs are small: they enter nothing that is measured."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from walkthrough.beyond.released import boot
    from walkthrough.models import load_tokenizer

    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=vocabulary, hidden_size=d_model, intermediate_size=8, num_hidden_layers=layers, head_dim=d_head,
        num_attention_heads=heads, num_key_value_heads=key_heads, tie_word_embeddings=True,
    )  # fmt: skip
    return boot(LlamaForCausalLM(shape), load_tokenizer(), "random")


def ours(model):
    from walkthrough.beyond.scale import all_pairs_scores

    return all_pairs_scores(model)


def ours_as_K(model):
    from walkthrough.beyond.scale import all_pairs_scores

    return all_pairs_scores(model, "K")[0]


def theirs_as_K(model):
    return model.all_composition_scores("K").scores


def ov(model):
    from walkthrough.beyond.positivity import ov_positivities

    return ov_positivities(model)


def k_composed(model):
    from walkthrough.beyond.positivity import k_composed_positivities

    return k_composed_positivities(model)


def here(what, shape, limited=False):
    """Measure one function in this process: seconds, seconds of processors, bytes added; and its numbers."""
    import resource

    import torch

    with torch.no_grad():
        model = random_model(**shape)
        peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        if limited:
            resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
        before, clock, processors = peak(), perf_counter(), process_time()
        result = globals()[what](model)
        took = perf_counter() - clock, process_time() - processors
    return [*took, peak() - before], result.numpy()


def child(what, shape, threads, file):
    """The same in a process that does nothing else, whose memory is its own."""
    import torch

    torch.set_num_threads(threads)
    cost, result = here(what, shape, limited=what == "theirs_as_K")
    np.save(file, result)
    print(json.dumps(cost))


def measured(what, tmp_path, threads=2, apart=True, **shape):
    """The same in a new process, unless told otherwise. Raises an error with what it said if it ran out of memory."""
    if not apart:
        cost, result = here(what, SHAPE | shape)
        return np.array(cost), result
    file = tmp_path / "result.npy"
    asked = json.dumps([what, SHAPE | shape, threads, str(file)])
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    done = subprocess.run([sys.executable, __file__, asked], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-1500:]
    return np.array(json.loads(done.stdout.splitlines()[-1])), np.load(file)


@pytest.mark.parametrize("threads", [1, 2])
def test_scale_against_transformer_lens(short, tmp_path, threads):
    """K-composition alone, since TransformerLens takes as long for each kind. At each depth that both took, scores agree."""
    pytest.importorskip("resource")
    if threads > (1 if short else os.cpu_count() or 1):
        pytest.skip("short, or a machine of one core")
    depths = (1, 2, 3) if short else (2, 4, 8, 12)
    costs = []
    for layers in depths:
        apart = not short or layers == depths[0]  # once is enough to show that it works
        cost, expected = measured("theirs_as_K", tmp_path, threads, apart, layers=layers, vocabulary=1000)
        _, found = measured("ours_as_K", tmp_path, threads, not short, layers=layers, vocabulary=1000)
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-7)
        costs.append(cost)
        print(f"\n{threads} threads, TransformerLens, K, {layers} layers: {told(cost)}", end="")
    costs, full = np.array(costs), (4 if short else SHAPE["layers"])
    powers = np.vander(depths, 3)
    seconds = [np.vander([full], 3)[0] @ nnls(powers, costs[:, i])[0] for i in (0, 1)]
    extrapolated = np.array([*seconds, costs[-1, 2] * (full / depths[-1]) ** 2])
    print(f"\nTransformerLens, K, {full} layers, extrapolated: {told(extrapolated)}")
    mine, whole = (measured(what, tmp_path, threads, not short, layers=full)[0] for what in ("ours_as_K", "ours"))
    work, memory = extrapolated[1] / mine[1], extrapolated[2] / max(mine[2], 1)
    print(f"ours, K, {full} layers: {told(mine)}: {work:.0f} times less work, {memory:.0f} times less memory")
    print(f"ours, Q, K and V, {full} layers: {told(whole)}")


def told(cost):
    seconds, processors, added = cost
    return f"{seconds:.1f} s ({processors:.1f} s of processors), {added / 1e9:.2f} GB added"


def test_scale_with_layers_heads_and_vocabulary(short, tmp_path):
    """What each function costs as one thing grows and the others stay."""
    pytest.importorskip("resource")
    small = {"layers": 2, "vocabulary": 1000}
    cases = [small] if short else [
        {"layers": 10}, {"layers": 20}, {"layers": 30},
        {"heads": 18, "key_heads": 6}, {"d_model": 1152}, {"vocabulary": 12288}, {"vocabulary": 196608},
    ]  # fmt: skip
    print("\none thread; what is changed from SmolLM2's shape:")
    for case in cases:
        cells = []
        for what in ("ours", "ov", "k_composed"):
            cost, found = measured(what, tmp_path, 1, not short, **case)
            assert np.nanmax(np.abs(found)) <= 1 + 1e-5
            cells.append(f"{what} {told(cost)}")
        print(", ".join(f"{name} {size}" for name, size in case.items()), *cells, sep="\n    ")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    child(*json.loads(sys.argv[1]))
