import inspect

import pytest
import torch
from jaxtyping import TypeCheckError

from walkthrough import models
from walkthrough.circuits import (
    ov_circuit,
    qk_circuit,
    random_rotation,
    random_rotation_about,
    rotated_weights,
    virtual_weights,
    visible_share,
    wire_strength,
)  # fmt: skip
from walkthrough.paths import attention_pattern, direct_path, head_output, layer_parts, path_expansion, stream_parts


@pytest.fixture(scope="module")
def tiny():
    """A random two-layer model in float64, one batch of two prompts, and what it computed on them."""
    model = models.tiny(2, seed=3).double()
    tokens = torch.randint(1, 64, (2, 9), generator=torch.Generator().manual_seed(0))
    tokens[:, 0] = 0
    return model, tokens, *model.run_with_cache(tokens)


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("n_parts", "hook"), [
    (1, "blocks.0.hook_resid_pre"), (5, "blocks.0.hook_resid_post"), (9, "blocks.1.hook_resid_post"),
])  # fmt: skip
def test_parts_add_up_to_the_stream_after_each_layer(tiny, n_parts, hook):
    model, _, _, cache = tiny
    parts = stream_parts(cache, model.W_O)
    assert len(parts) == 9
    torch.testing.assert_close(parts[:n_parts].sum(0), cache[hook])


@pytest.mark.parametrize(("layer", "head"), [(0, 0), (0, 3), (1, 2)])
def test_each_part_is_the_head_it_should_be(tiny, layer, head):
    """The slow way: zero the values of all other heads of the layer, and see what the layer adds."""
    model, tokens, _, cache = tiny
    others = [h for h in range(model.cfg.n_heads) if h != head]

    def alone(z, hook):
        z[:, :, others] = 0
        return z

    with model.hooks(fwd_hooks=[(f"blocks.{layer}.attn.hook_z", alone)]):
        _, only = model.run_with_cache(tokens)
    added = only[f"blocks.{layer}.hook_resid_post"] - only[f"blocks.{layer}.hook_resid_pre"]
    part = stream_parts(cache, model.W_O)[1 + model.cfg.n_heads * layer + head]
    assert added.norm() > 0.1
    torch.testing.assert_close(part, added)


def test_a_model_without_layers_has_one_part():
    model = models.tiny(0)
    _, cache = model.run_with_cache(torch.tensor([[0, 3, 4]]))
    parts = stream_parts(cache, torch.zeros(0, 4, 8, 32))
    torch.testing.assert_close(parts, cache["hook_embed"][None])


def test_a_cache_without_values_is_refused(tiny):
    model, _, _, cache = tiny
    cache = {name: stored for name, stored in cache.items() if name != "blocks.1.attn.hook_z"}
    with pytest.raises(ValueError, match=r"the cache holds no 'blocks\.1\.attn\.hook_z'"):
        stream_parts(cache, model.W_O)


@pytest.mark.parametrize("layer", [0, 1])
def test_parts_of_a_layer_are_what_all_heads_together_add(tiny, layer):
    """The usual way: the heads' z side by side, times their W_O on top of one another."""
    model, _, _, cache = tiny
    z, W_O = cache["z", layer], model.W_O[layer]
    parts = layer_parts(z, W_O)
    torch.testing.assert_close(parts.sum(0), torch.cat(list(z.unbind(2)), -1) @ torch.cat(list(W_O)))
    torch.testing.assert_close(parts[2], z[:, :, 2] @ W_O[2])


def test_the_direct_path_is_what_is_left_without_heads(tiny):
    model, tokens, _, _ = tiny
    alone = direct_path(tokens, model.W_E, model.W_U)
    silent = [(f"blocks.{layer}.attn.hook_z", lambda z, hook: torch.zeros_like(z)) for layer in (0, 1)]
    torch.testing.assert_close(alone, model.run_with_hooks(tokens, fwd_hooks=silent))
    torch.testing.assert_close(alone, path_expansion(model, tokens)["direct"])
    torch.testing.assert_close(alone[1, 4], model.W_E[tokens[1, 4]] @ model.W_U)


@pytest.mark.parametrize("kind", ["Q", "K", "V"])
def test_virtual_weights_carry_what_the_stream_carries(tiny, kind):
    """Two roads: remove a head's output from the stream, or its message from what a later head computes."""
    model, _, _, cache = tiny
    W_in = getattr(model, f"W_{kind}")[1]
    wires = virtual_weights(model.W_O[0], W_in)
    outputs = stream_parts(cache, model.W_O)[1 : 1 + model.cfg.n_heads]
    for write in range(model.cfg.n_heads):
        for read in range(model.cfg.n_heads):
            message = cache["blocks.0.attn.hook_z"][:, :, write] @ wires[write, read]
            torch.testing.assert_close(message, outputs[write] @ W_in[read])


def test_virtual_weights_are_the_papers_product_transposed():
    W_O, W_in = noise(3, 2, 7), noise(4, 7, 2, seed=1)
    columns = torch.stack([torch.stack([into.T @ out.T for into in W_in]) for out in W_O])  # W_I² W_O¹
    torch.testing.assert_close(virtual_weights(W_O, W_in), columns.mT)


def test_weights_that_share_no_stream_are_refused():
    with pytest.raises(ValueError, match="W_O writes 7 dimensions and W_in reads 2: pass W_O, then W_in"):
        inspect.unwrap(virtual_weights)(noise(3, 2, 7), noise(3, 2, 7))
    with pytest.raises(TypeCheckError):  # what the annotations say of it
        virtual_weights(noise(3, 2, 7), noise(3, 2, 7))


def test_strength_of_wires_by_loops():
    W_O, W_in = noise(3, 2, 7), noise(4, 7, 2, seed=1)
    for write, read in [(0, 0), (1, 3), (2, 1)]:
        size = lambda W: sum(entry.item() ** 2 for entry in W.flatten()) ** 0.5
        slow = size(W_O[write] @ W_in[read]) / (size(W_O[write]) * size(W_in[read]))
        assert wire_strength(W_O, W_in)[write, read].item() == pytest.approx(slow)


def test_rotated_at_random_wires_have_a_known_mean_square():
    W_O, W_in = noise(1, 3, 12), noise(1, 12, 3, seed=1)
    squares = torch.stack([wire_strength(W_O @ random_rotation(12, s), W_in).square() for s in range(400)])
    assert abs(squares.mean() - 1 / 12) < 4 * squares.std() / 400**0.5


def test_the_visible_share_is_that_of_the_projection():
    resid, W_in = noise(2, 5, 9), noise(9, 3, seed=1)
    projected = resid @ (W_in @ torch.linalg.pinv(W_in))
    torch.testing.assert_close(visible_share(resid, W_in), projected.square().sum(-1) / resid.square().sum(-1))
    torch.testing.assert_close(visible_share(W_in.T, W_in), torch.ones(3).double())


def test_random_spaces_overlap_by_their_share_of_the_whole():
    spaces = torch.stack([random_rotation(24, seed)[:, :6] for seed in range(300)])
    overlap = torch.stack([visible_share(one.T, other).mean() for one, other in zip(spaces[:150], spaces[150:])])
    assert abs(overlap.mean() - 6 / 24) < 4 * overlap.std() / 150**0.5


def test_a_rotated_model_is_the_same_model(tiny):
    model, tokens, logits, _ = tiny
    weights = {name: getattr(model, name) for name in ("W_E", "W_pos", "W_Q", "W_K", "W_V", "W_O", "W_U")}
    rotated = rotated_weights(weights, random_rotation(model.cfg.d_model, seed=4))
    resid = rotated["W_E"][tokens]
    for W_Q, W_K, W_V, W_O in zip(*(rotated[name] for name in ("W_Q", "W_K", "W_V", "W_O"))):
        patterns = [attention_pattern(resid, rotated["W_pos"], q, k) for q, k in zip(W_Q, W_K)]
        resid = resid + sum(head_output(A, resid, v, o) for A, v, o in zip(patterns, W_V, W_O))
    torch.testing.assert_close(resid @ rotated["W_U"], logits)
    assert (rotated["W_E"] - model.W_E).abs().max() > 0.01


def test_a_random_rotation_is_orthogonal_and_its_own():
    R = random_rotation(16, seed=1)
    torch.testing.assert_close(R @ R.T, torch.eye(16).double())
    torch.testing.assert_close(R, random_rotation(16, seed=1))
    assert (R - random_rotation(16, seed=2)).abs().max() > 0.1


def test_a_rotation_about_an_axis_leaves_it_where_it_is():
    axis = noise(7)
    R = random_rotation_about(axis, seed=1)
    torch.testing.assert_close(R @ R.T, torch.eye(7).double())
    torch.testing.assert_close(axis @ R, axis)
    assert (R.T - torch.eye(7)).norm(dim=0).min() > 0.1  # no coordinate stays
    assert (R - random_rotation_about(axis, seed=5)).abs().max() > 0.1


def test_random_rotations_prefer_no_direction():
    """Without the signs, QR would make the first entry negative or positive throughout."""
    corner = torch.stack([random_rotation(8, seed)[0] for seed in range(400)])
    assert corner.mean(0).abs().max() < 4 * (1 / 8) ** 0.5 / 400**0.5


@pytest.mark.parametrize(("layer", "head"), [(0, 0), (1, 2)])
def test_circuits_by_loops(tiny, layer, head):
    """Entry by entry: the score of one token for another, and the logits of one token's value."""
    model = tiny[0]
    W_Q, W_K, W_V, W_O = models.head_weights(model, layer, head)
    qk, ov = qk_circuit(model, layer, head), ov_circuit(model, layer, head)
    assert qk.shape == ov.shape == (64, 64)
    for row, column in [(3, 50), (50, 3), (7, 7)]:
        q, k = model.W_E[row] @ W_Q, model.W_E[column] @ W_K
        torch.testing.assert_close(qk.AB[row, column], q.dot(k) / 8**0.5)
        torch.testing.assert_close(ov.AB[row, column], (model.W_E[row] @ W_V @ W_O).dot(model.W_U[:, column]))


@pytest.mark.parametrize("circuit", [qk_circuit, ov_circuit])
def test_circuits_of_heads_that_do_not_exist_are_refused(tiny, circuit):
    with pytest.raises(ValueError, match="there is no head 4"):
        circuit(tiny[0], 1, 4)
    with pytest.raises(ValueError, match="has no layers"):
        circuit(models.tiny(0), 0, 0)
