"""Muon's orthogonal updates against singular value decompositions, and its steps against torch's own."""

import pytest
import torch

from walkthrough.training.muon import Muon, orthogonalised

SHAPES = ((24, 24), (24, 24), (12, 24), (40, 24))


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(3, 24, 24), (2, 12, 24), (2, 40, 24)])
def test_directions_stay_and_singular_values_go_through_the_polynomial(shape):
    updates = draw(*shape).double() * torch.tensor([1e-3, 1, 1e3])[: shape[0], None, None]
    moved = orthogonalised(updates)
    U, values, Vh = torch.linalg.svd(updates, full_matrices=False)
    values = values / values.norm(dim=1, keepdim=True)
    for _ in range(5):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    torch.testing.assert_close(moved, U @ torch.diag_embed(values) @ Vh)
    assert (values - 0.95).abs().median() < 0.25


def test_a_matrix_is_orthogonalised_alike_alone_and_among_others():
    updates = draw(3, 24, 24)
    torch.testing.assert_close(orthogonalised(updates)[1], orthogonalised(updates[1:2])[0], rtol=1e-4, atol=1e-5)
    assert orthogonalised(torch.zeros(1, 4, 4)).eq(0).all()


def test_steps_are_those_of_torch_as_far_as_its_bfloat16_goes():
    """In torch's own every product is rounded to 8 bits, so an entry of an update is off by a few thousandths."""
    ours, theirs = ([torch.nn.Parameter(draw(*shape, seed=i)) for i, shape in enumerate(SHAPES)] for _ in range(2))
    lr, steps = 0.01, 3
    optimisers = Muon(ours, lr=lr), torch.optim.Muon(theirs, lr=lr, weight_decay=0.0)
    for step in range(steps):
        for i, pair in enumerate(zip(ours, theirs)):
            for p in pair:
                p.grad = draw(*p.shape, seed=10 * step + i)
        for optimiser in optimisers:
            optimiser.step()
    for i, (p, q) in enumerate(zip(ours, theirs)):
        assert (p - draw(*SHAPES[i], seed=i)).abs().max() > lr
        torch.testing.assert_close(p, q, rtol=0, atol=0.05 * lr * steps)


def test_parameters_without_a_gradient_stay_and_vectors_are_refused():
    still, moved = (torch.nn.Parameter(draw(4, 4, seed=i)) for i in range(2))
    moved.grad = draw(4, 4, seed=2)
    Muon([still, moved]).step()
    assert torch.equal(still, draw(4, 4, seed=0))
    assert not torch.equal(moved, draw(4, 4, seed=1))
    with pytest.raises(ValueError, match=r"was given a parameter of shape \[4\]"):
        Muon([torch.nn.Parameter(torch.zeros(4))])
