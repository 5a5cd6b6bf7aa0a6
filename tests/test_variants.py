"""Each variant of the model against a slow account of what it should do."""

import math

import pytest
import torch

from walkthrough.models import PaperModel, config
from walkthrough.training import variants
from walkthrough.training.forward import final_stream
from walkthrough.training.muon import Muon, orthogonalised
from walkthrough.two_layers import causes

SHAPE = {"d_model": 32, "n_heads": 4, "n_ctx": 24, "d_vocab": 50}


def network(name, n_layers=2, seed=1):
    return variants.NETWORKS[name](config(n_layers, **SHAPE), seed)


@pytest.fixture
def tokens():
    return torch.randint(1, 50, (3, 20), generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("name", variants.NETWORKS)
def test_both_forward_passes_agree(name, tokens):
    """The one with hooks, and the trainer's."""
    model = network(name)
    for p in model.parameters():
        p.requires_grad_(False)
    if name == "smeared keys":
        for block in model.layers:
            block.attn.alpha.copy_(torch.randn(4))
    torch.testing.assert_close(model(tokens), model.head(final_stream(model, tokens)))


def test_smeared_keys_are_mixed_with_those_before_them_one_at_a_time():
    attn = network("smeared keys").layers[0].attn
    attn.alpha.data = torch.tensor([-1.0, 0.0, 0.5, 3.0])
    q, k = torch.randn(2, 2, 4, 6, 8)
    asked, mixed = attn.matched(q, k)
    assert torch.equal(asked, q)
    for head in range(4):
        share = 1 / (1 + math.exp(-attn.alpha[head].item()))
        torch.testing.assert_close(mixed[:, head, 0], k[:, head, 0])
        for pos in range(1, 6):
            slow = share * k[:, head, pos] + (1 - share) * k[:, head, pos - 1]
            torch.testing.assert_close(mixed[:, head, pos], slow)
    torch.testing.assert_close(mixed, causes.smear(k, attn.alpha))


def test_smeared_keys_begin_as_halves_and_are_learnt(tokens):
    model = network("smeared keys", 1)
    assert model.layers[0].attn.alpha.sigmoid().tolist() == [0.5] * 4
    model(tokens).logsumexp(-1).sum().backward()
    assert (model.layers[0].attn.alpha.grad != 0).all()


def test_rotary_scores_depend_on_distances_only():
    """The same query and key, three places apart, wherever they stand; and turning keeps lengths."""
    attn = network("rotary positions").layers[0].attn
    one, other = torch.randn(2, 8)
    q, k = one.expand(1, 4, 20, 8), other.expand(1, 4, 20, 8)
    turned_q, turned_k = attn.matched(q, k)
    scores = turned_q @ turned_k.mT
    for distance in range(20):
        diagonal = scores[0, 0].diagonal(-distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), atol=1e-4, rtol=1e-4)
    assert scores[0, 0, :, 0].std() > 0.1
    torch.testing.assert_close(turned_q.norm(dim=-1), q.norm(dim=-1))


def test_rotary_is_a_rotation_of_each_pair_by_hand():
    angle = torch.tensor([[0.0, 0.0], [0.3, 1.1]])
    x = torch.randn(1, 1, 2, 4)
    turned = variants.turned(x, angle)
    for pair, by in enumerate((0.3, 1.1)):
        matrix = torch.tensor([[math.cos(by), math.sin(by)], [-math.sin(by), math.cos(by)]])
        here = slice(2 * pair, 2 * pair + 2)
        torch.testing.assert_close(turned[0, 0, 1, here], x[0, 0, 1, here] @ matrix)
    torch.testing.assert_close(turned[:, :, 0], x[:, :, 0])


def test_learned_positions_are_in_the_stream_and_learnt(tokens):
    model = network("learned positions")
    assert model.pos.weight.requires_grad
    entered = model.entered(model.tok_embed(tokens))
    torch.testing.assert_close(entered[:, 7], model.tok_embed.weight[tokens[:, 7]] + model.pos.weight[7])
    before = model.layers[0].attn.placed(entered, slice(0, 20))
    assert torch.equal(before, entered)  # and not added a second time to what queries and keys read
    other = network("learned positions", seed=2)
    assert not torch.allclose(model.pos.weight, other.pos.weight)


def test_learned_positions_of_zero_are_no_positions(tokens):
    """Then exchanging two earlier tokens changes nothing at the last position of one layer."""
    model = network("learned positions", 1)
    model.pos.weight.data.zero_()
    exchanged = tokens.clone()
    exchanged[:, [2, 5]] = tokens[:, [5, 2]]
    torch.testing.assert_close(model(tokens)[:, -1], model(exchanged)[:, -1])
    assert not torch.allclose(network("paper", 1)(tokens)[:, -1], network("paper", 1)(exchanged)[:, -1])


def test_first_layer_positions_are_the_paper_s_below_and_none_above(tokens):
    model, paper = network("first-layer positions"), network("paper")
    resid = torch.randn(3, 20, 32)
    torch.testing.assert_close(model.layers[0](resid)[0], paper.layers[0](resid)[0])
    assert torch.equal(model.layers[1].attn.placed(resid, slice(0, 20)), resid)
    paper.pos.weight.data.zero_()
    torch.testing.assert_close(model.layers[1](resid)[0], paper.layers[1](resid)[0])


def test_muon_per_head_is_muon_on_each_head_by_itself():
    model = PaperModel(config(1, **SHAPE))
    attn = model.layers[0].attn
    names = ("q", "k", "v", "o")
    shapes = [getattr(attn, name).weight for name in names]
    updates = torch.stack([torch.randn_like(p) for p in shapes])
    muon = variants.PerHeadMuon(shapes, 0.1, 4)
    made = muon.orthogonalised(updates)
    for name, update, whole in zip(names, updates, made):
        for head in range(4):
            here = slice(8 * head, 8 * head + 8)
            block, got = (update[:, here], whole[:, here]) if name == "o" else (update[here], whole[here])
            torch.testing.assert_close(got, orthogonalised(block[None])[0], atol=1e-5, rtol=1e-4)
            u, _, v = torch.linalg.svd(block, full_matrices=False)
            assert ((u @ v) * got).sum() / (got.norm() * 8**0.5) > 0.97  # the SVD's own answer, but for its sizes
            sizes = torch.linalg.svdvals(got)
            assert sizes.min() > 0.3
            assert sizes.max() < 1.3


def test_muon_per_head_differs_from_muon_on_whole_matrices():
    updates = torch.randn(4, 32, 32)
    whole = Muon([torch.zeros(32, 32, requires_grad=True)], 0.1).orthogonalised(updates)
    per_head = variants.PerHeadMuon([torch.zeros(32, 32, requires_grad=True)], 0.1, 4).orthogonalised(updates)
    assert not torch.allclose(whole, per_head, atol=0.1)
