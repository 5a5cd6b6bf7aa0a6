"""MLPs, by second roads: hooks, loops over neurons, and neurons that were made to be readable."""

import pytest
import torch

from walkthrough import models
from walkthrough.beyond import mlp


def tiny(seed=0):
    """A one-layer model with 24 neurons whose biases are not zero."""
    net = models.network(models.config(1, 16, 2, 16, 40, d_mlp=24), seed)
    generator = torch.Generator().manual_seed(seed)
    for bias in (net.layers[0].mlp.fc_in.bias, net.layers[0].mlp.fc_out.bias):
        torch.nn.init.normal_(bias, generator=generator)
    return models.bridge(net).double()


TOKENS = torch.randint(0, 40, (3, 9), generator=torch.Generator().manual_seed(1))


def test_neurons_do_not_start_as_embeddings():
    """Two generators of one seed would draw the same numbers for both."""
    net = models.network(models.config(1, 16, 2, 16, 40, d_mlp=24), 3)
    drawn = [net.tok_embed.weight, net.head.weight, net.layers[0].mlp.fc_in.weight, net.layers[0].mlp.fc_out.weight.T]
    drawn = torch.stack([each.flatten()[:384] for each in drawn])
    assert (torch.corrcoef(drawn) - torch.eye(4)).abs().max() < 0.2


def test_terms_add_up_to_what_neurons_get():
    model = tiny()
    cache = model.run_with_cache(TOKENS)[1]
    terms = mlp.preactivation_terms(model, TOKENS)
    assert list(terms) == ["direct", "0:0", "0:1", "b_in"]
    torch.testing.assert_close(sum(terms.values()), cache["blocks.0.mlp.hook_pre"])
    torch.testing.assert_close(sum(terms.values()).relu(), cache["blocks.0.mlp.hook_post"])


def test_leaves_add_up_to_logits_and_without_the_mlp_to_the_zero_ablated_model():
    model = tiny()
    terms = mlp.logit_terms(model, TOKENS)
    torch.testing.assert_close(sum(terms.values()), model(TOKENS))
    ablated = model.run_with_hooks(TOKENS, fwd_hooks=mlp.replace_output(torch.zeros(16).double()))
    torch.testing.assert_close(sum(terms.values()) - terms["MLP"] - terms["b_out"], ablated)


def test_feeding_the_run_its_own_stream_changes_nothing():
    model = tiny()
    cache = model.run_with_cache(TOKENS)[1]
    mid, embed = cache["blocks.0.hook_resid_mid"], cache["hook_embed"]
    torch.testing.assert_close(model.run_with_hooks(TOKENS, fwd_hooks=mlp.feed(mid)), model(TOKENS))
    other = model.run_with_hooks(TOKENS, fwd_hooks=mlp.feed(embed))
    written = (embed @ model.W_in[0] + model.b_in[0]).relu() @ model.W_out[0] + model.b_out[0]
    torch.testing.assert_close(other, (mid + written) @ model.W_U)


def test_kurtosis_of_equal_of_one_and_of_normal_coordinates():
    assert mlp.kurtosis(torch.ones(4)) == 1
    assert mlp.kurtosis(torch.tensor([0.0, 5, 0, 0])) == 4
    noise = torch.randn(200_000, generator=torch.Generator().manual_seed(0))
    assert abs(mlp.kurtosis(noise) - 3) < 0.1


def test_cosines_one_by_one():
    W_in, W_out = torch.randn(5, 7), torch.randn(7, 5)
    W_out[3] = -2 * W_in[:, 3]
    cosine = mlp.in_out_cosine(W_in, W_out)
    torch.testing.assert_close(cosine, torch.cosine_similarity(W_in.T, W_out))
    assert cosine[3] < -0.999


def test_strongest_places_are_the_most_active_ones():
    active = torch.rand(300, 4)
    where = mlp.strongest(active, share=0.02)
    assert where.shape == (4, 6)
    for neuron, places in enumerate(where):
        rest = active[:, neuron].clone()
        rest[places] = -1
        assert active[places, neuron].min() >= rest.max()


def test_hits_count_by_hand():
    tokens = torch.tensor([5, 6, 7, 8])
    where, listed = torch.tensor([[0, 1], [2, 3]]), torch.tensor([[5, 9], [8, 6]])
    assert mlp.hits(tokens, where, listed).tolist() == [[0.5, 0.5], [0.0, 0.5]]


@pytest.mark.parametrize(
    ("own", "others", "passes"), [(0.6, 0.1, True), (0.6, 0.13, False), (0.49, 0.0, False), (0.5, 0.0, True)]
)
def test_a_neuron_passes_by_its_own_list_and_not_by_those_of_others(own, others, passes):
    shares = torch.full((3, 3), others).double()
    shares[0, 0] = own
    assert mlp.passed(shares, least=0.5)[0].item() is passes


def test_a_neuron_that_was_made_readable_passes_and_a_blind_one_does_not():
    """Tokens are axes; neuron 0 is on at token 3, which is always followed by 7; neuron 1 is on at random."""
    W_E, W_U = torch.eye(10), torch.eye(10)
    W_in, W_out = torch.zeros(10, 2), torch.zeros(2, 10)
    W_in[3, 0], W_out[0, 7], W_in[4, 1], W_out[1, 4] = 1, 1, 1, 1
    lists = mlp.readings(W_E, W_in, W_out, W_U, k=1)
    assert lists.read.tolist() == [[3], [4]]
    assert lists.write.tolist() == [[7], [4]]
    now = torch.arange(1000) % 10
    following = torch.where(now == 3, 7, 0)
    active = torch.stack([(now == 3).double(), torch.rand(1000).double()], dim=1)
    where = mlp.strongest(active)
    fires = mlp.passed(mlp.hits(now, where, lists.read), 0.5)
    says = mlp.passed(mlp.hits(following, where, lists.write), 0.1)
    assert fires.tolist() == [True, False]
    assert says.tolist() == [True, False]


def test_a_linear_fit_finds_a_matrix_and_a_constant():
    read, matrix, constant = torch.randn(50, 4), torch.randn(4, 4), torch.randn(4)
    found = mlp.linear_fit(read, read @ matrix + constant)
    torch.testing.assert_close(found, (matrix, constant), rtol=1e-4, atol=1e-4)
