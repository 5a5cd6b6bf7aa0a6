"""LayerNorm folded, by second roads: torch's own LayerNorm, and TransformerLens' compatibility mode."""

import pytest
import torch
from torch import nn

from walkthrough import models
from walkthrough.beyond import layernorm


def normed(seed=0, n_layers=2):
    """A tiny model in float64 whose gains and biases are far from where they start."""
    net = models.network(models.config(n_layers, 12, 3, 16, 40, layernorm=True), seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim == 1:
                parameter += 0.5 * torch.randn(parameter.shape, generator=generator)
    return models.bridge(net).double()


TOKENS = torch.randint(0, 40, (3, 9), generator=torch.Generator().manual_seed(1))


def test_a_folded_matrix_reads_as_torchs_layernorm_and_the_matrix_do():
    norm, linear, x = nn.LayerNorm(7).double(), nn.Linear(7, 3).double(), torch.randn(5, 7).double()
    nn.init.normal_(norm.weight), nn.init.normal_(norm.bias)
    W, b = layernorm.fold(norm.weight, norm.bias, linear.weight.T, linear.bias)
    torch.testing.assert_close(x / layernorm.scale(x) @ W + b, linear(norm(x)))


def test_the_scale_is_the_one_that_the_model_divides_by():
    model = normed()
    cache = model.run_with_cache(TOKENS)[1]
    run = layernorm.run(layernorm.folded(model), TOKENS)
    for scale, name in zip(run.scales, ("blocks.0.ln1", "blocks.1.ln1", "ln_final")):
        torch.testing.assert_close(scale, cache[f"{name}.hook_scale"])


@pytest.mark.parametrize("n_layers", [1, 2])
def test_the_folded_model_and_its_paths_are_the_model(n_layers):
    model = normed(n_layers, n_layers)
    weights = layernorm.folded(model)
    run = layernorm.run(weights, TOKENS)
    torch.testing.assert_close(run.logits, model(TOKENS))
    for layer, pattern in enumerate(run.patterns):
        torch.testing.assert_close(pattern, model.run_with_cache(TOKENS)[1]["pattern", layer])
    terms = layernorm.frozen_paths(weights, TOKENS, run.patterns, run.scales)
    torch.testing.assert_close(sum(terms.values()), run.logits)
    leaves, heads = 2, 3
    for _ in range(n_layers):
        leaves = leaves * (1 + heads) + heads + 1
    assert len(terms) == leaves + 1


def test_compatibility_mode_folds_the_same_reading_weights():
    model, other = normed(), normed()
    other.enable_compatibility_mode(disable_warnings=True)
    weights = layernorm.folded(model)
    for name in ("W_Q", "W_K", "W_V", "b_Q", "b_K"):
        torch.testing.assert_close(getattr(other, name), getattr(weights, name))
    assert other.b_V.abs().max() == 0


def test_a_model_without_layernorm_is_refused():
    with pytest.raises(ValueError, match="no LayerNorm"):
        models.norms(models.tiny(1))


def test_the_shipped_model_folds():
    model = models.load("layernorm").double()
    tokens = model.to_tokens("for i in range(")
    run = layernorm.run(layernorm.folded(model), tokens)
    torch.testing.assert_close(run.logits, model(tokens))
