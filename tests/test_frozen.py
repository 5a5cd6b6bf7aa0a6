"""Runs of every architecture taken apart, by second roads: hooks of the run itself, and the layer's own modules."""

import architectures
import pytest
import torch

from walkthrough import circuits, interventions, paths
from walkthrough.beyond import folded_circuits, frozen, frozen_hooks, frozen_scores, frozen_weights, layernorm
from walkthrough.two_layers import composition

KNOWN = ("paper", "mlp", "layernorm", "gpt2", "llama", "pythia", "qwen2", "opt")
ROTATED = ("llama", "pythia", "qwen2")
CLOSE = {"atol": 2e-5, "rtol": 2e-5}  # logits and scores are of the order of 10
TOKENS = torch.randint(0, architectures.VOCABULARY, (2, 9), generator=torch.Generator().manual_seed(1))
TEXT = "w1 w5 w7 w9 w1 w5"


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


@pytest.fixture(params=KNOWN)
def model(request):
    return architectures.model_of(request.param)


def run_of(model, tokens=TOKENS):
    return model.run_with_cache(tokens)


def visible(scores):
    return torch.ones_like(scores).tril().bool()


def test_paths_from_any_layer_and_parts_add_up_to_the_logits(model):
    logits = model(TOKENS)
    for first in range(model.cfg.n_layers):
        terms = frozen.frozen_path_expansion(model, TOKENS, first)
        torch.testing.assert_close(sum(terms.values()), logits, **CLOSE)
        parts = frozen.frozen_logit_parts(model, TOKENS, first=first)
        torch.testing.assert_close(sum(parts.values()), logits, **CLOSE)
    some = torch.tensor([3, 70])
    few = frozen.frozen_logit_parts(model, TOKENS, some)
    torch.testing.assert_close(sum(few.values()), logits[..., some], **CLOSE)


def test_a_single_path_is_what_the_run_gives_if_only_it_is_left(model):
    """The layers' own modules, from the embedding on: value, pattern and output of two heads, norms at their scale."""
    run = run_of(model)[1]

    def through(layer, x):
        norm = model.blocks[layer].ln1 if layer < model.cfg.n_layers else model.ln_final
        if not hasattr(norm, "hook_scale"):
            return x
        name = f"blocks.{layer}.ln1" if layer < model.cfg.n_layers else "ln_final"
        x = x if norm.uses_rms_norm else x - x.mean(-1, keepdim=True)
        return x / run[f"{name}.hook_scale"] * norm.weight

    x = run["hook_embed"]
    for layer, head in ((0, 2), (1, 3)):
        attn = model.blocks[layer].attn
        group = model.cfg.n_heads // len(attn.W_V)
        values = through(layer, x) @ attn.W_V[head // group]
        x = run["pattern", layer][:, head] @ values @ attn.W_O[head]
    expected = through(model.cfg.n_layers, x) @ model.W_U
    torch.testing.assert_close(frozen.frozen_path_expansion(model, TOKENS)["0:2 → 1:3"], expected, **CLOSE)


def test_on_the_papers_models_all_is_as_in_the_paper():
    model = architectures.model_of("paper")
    run = run_of(model, TOKENS[:1])[1]
    pairs = [
        (frozen.frozen_path_expansion(model, TOKENS), paths.path_expansion(model, TOKENS)),
        (frozen_scores.frozen_score_terms(model, TOKENS, 1, 2), paths.attention_score_terms(model, TOKENS, 1, 2)),
        (frozen.frozen_stream_parts(run, model.W_O), paths.stream_parts(run, model.W_O)),
        (frozen_scores.frozen_composed_scores(model, run, "K", (0, 1), (1, 2)),
         composition.composed_scores(model, run, "K", (0, 1), (1, 2))),
        (frozen_scores.frozen_virtual_head_ratios(model, run), composition.virtual_head_ratios(model, run)),
        (folded_circuits.folded_qk_circuit(model, 1, 2).AB, circuits.qk_circuit(model, 1, 2).AB),
        (folded_circuits.folded_ov_circuit(model, 1, 2).AB, circuits.ov_circuit(model, 1, 2).AB),
        *((getattr(folded_circuits, f"folded_{name}")(model, (0, 1), (1, 2)).AB, getattr(composition, name)(model, (0, 1), (1, 2)).AB)
          for name in ("q_composed_circuit", "k_composed_circuit", "virtual_ov_circuit")),
        *((folded_circuits.folded_composition_scores(model, kind), composition.composition_scores(model, kind)) for kind in "QKV"),
    ]  # fmt: skip
    for ours, papers in pairs:
        if isinstance(papers, dict):
            assert set(ours) == set(papers)
            ours, papers = (torch.stack([x[name] for name in papers]) for x in (ours, papers))
        torch.testing.assert_close(ours, papers, atol=1e-6, rtol=1e-5)
    for which in "qkv":
        for frozen_scale in (True, False):
            ours = frozen_hooks.frozen_unread(model, TOKENS, (0, 1), which, frozen_scale)
            papers = interventions.unread(model, TOKENS, (0, 1), which)
            logits = (model.run_with_hooks(TOKENS, fwd_hooks=hooks) for hooks in (ours, papers))
            torch.testing.assert_close(*logits, atol=1e-6, rtol=1e-5)


def test_the_paths_of_folded_weights_are_those_of_the_run():
    model = architectures.model_of("layernorm")
    if any(name.startswith("mlp") for name in model.blocks[0]._modules):
        model = attention_with_layernorm()
    weights = layernorm.folded(model)
    run = layernorm.run(weights, TOKENS)
    theirs = layernorm.frozen_paths(weights, TOKENS, run.patterns, run.scales)
    ours = frozen.frozen_path_expansion(model, TOKENS)
    named = {name.removeprefix("tokens → ").replace("tokens", "direct"): term for name, term in theirs.items()}
    assert {name for name, term in named.items() if term.abs().max() > 0} <= set(ours) <= set(named)
    for name in ours:
        torch.testing.assert_close(ours[name], named[name], **CLOSE)


def attention_with_layernorm():
    from walkthrough import models

    network = models.network(models.config(2, 32, 4, 64, architectures.VOCABULARY, layernorm=True))
    architectures.randomise(network, 3)
    return models.bridge(network)


def test_parts_are_the_stream_at_every_layer(model):
    run = run_of(model)[1]
    for layer in range(model.cfg.n_layers):
        parts = frozen.named_parts(model, run, layer)
        torch.testing.assert_close(sum(parts.values()), run["resid_pre", layer], **CLOSE)
    stacked = frozen.frozen_stream_parts(run, model.W_O)
    torch.testing.assert_close(stacked.sum(0), run["resid_post", model.cfg.n_layers - 1], **CLOSE)
    biased = [name for name in frozen.named_parts(model, run) if name.startswith("b_")]
    assert bool(biased) == (architectures_name(model) not in ("paper", "llama", "qwen2"))


def architectures_name(model):
    return next(name for name in KNOWN if architectures.model_of(name) is model)


def test_score_terms_add_up_to_the_scores_of_the_run(model):
    run = run_of(model)[1]
    for layer, head in ((0, 1), (1, 3)):
        for first in range(layer + 1):
            scores = sum(frozen_scores.frozen_score_terms(model, TOKENS, layer, head, first).values())
            pattern = scores.masked_fill(~visible(scores), -torch.inf).softmax(-1)
            torch.testing.assert_close(pattern, run["pattern", layer][:, head], atol=5e-6, rtol=1e-5)
            if architectures_name(model) in ("gpt2", *ROTATED):  # elsewhere the hook holds the pattern
                true = run[f"blocks.{layer}.attn.hook_attn_scores"][:, head]
                torch.testing.assert_close(scores[visible(scores)], true[visible(scores)], **CLOSE)


def test_composed_scores_are_a_term_of_them(model):
    run, terms = run_of(model, TOKENS[:1])[1], frozen_scores.frozen_score_terms(model, TOKENS, 1, 3)
    for kind, pair in (("Q", ("0:1", "tokens")), ("K", ("tokens", "0:1"))):
        ours = frozen_scores.frozen_composed_scores(model, run, kind, (0, 1), (1, 3))
        torch.testing.assert_close(ours, terms[pair][0], **CLOSE)
    sums = frozen_scores.by_kind_of_part(terms)
    torch.testing.assert_close(sum(sums.values()), sum(terms.values()), **CLOSE)
    assert ("A ⊗ M" in sums) == ("mlp" in model.blocks[0]._modules)


def test_what_a_head_reads_of_all_parts_is_its_query_key_and_value(model):
    run = run_of(model)[1]
    for which in "qkv":
        whole = run[which, 1]
        for head in range(model.cfg.n_heads):
            parts = frozen.named_parts(model, run, 1).values()
            read = sum(frozen_scores.part_read(model, run, 1, head, which, part) for part in parts)
            read = read + frozen_scores.read_constant(model, 1, head, which)
            if which != "v":
                read = read + frozen_scores.positions_read(model, run, 1, head, which)
            torch.testing.assert_close(read, whole[:, :, head * whole.shape[2] // model.cfg.n_heads], **CLOSE)


@pytest.mark.parametrize("which", "qkv")
def test_unread_is_a_run_in_which_a_layers_input_lacks_the_head(model, which):
    """A layer's own norm reads the stream without the head, and only the q, k or v matrix gets to see it."""
    head, run = (0, 1), run_of(model)[1]
    wrote = run["z", 0][:, :, 1] @ model.blocks[0].attn.W_O[1]

    def hooked(frozen_scale):
        """The same through the norm's module and the input of the matrix, of each later layer."""
        hooks, streams = [], {}
        for layer in range(1, model.cfg.n_layers):
            norm, plain = model.blocks[layer].ln1, model.blocks[layer].ln1.original_component

            def keep(x, hook, layer=layer):
                streams[layer] = x

            def replace(x, hook, layer=layer, norm=norm, plain=plain):
                rest = streams[layer] - wrote
                if not hasattr(norm, "hook_scale"):
                    return x - wrote
                if not frozen_scale:
                    return plain(rest)
                whole = streams[layer]
                centre = (lambda y: y) if norm.uses_rms_norm else (lambda y: y - y.mean(-1, keepdim=True))
                scale = (centre(whole).square().mean(-1, keepdim=True) + model.cfg.eps).sqrt()
                bias = 0 if norm.uses_rms_norm else plain.bias
                return centre(rest) / scale * norm.weight + bias

            hooks += [(f"blocks.{layer}.hook_resid_pre", keep), (f"blocks.{layer}.attn.{which}.hook_in", replace)]
        return hooks

    for frozen_scale in (True, False):
        ours = model.run_with_hooks(
            TOKENS, fwd_hooks=frozen_hooks.frozen_unread(model, TOKENS, head, which, frozen_scale)
        )
        theirs = model.run_with_hooks(TOKENS, fwd_hooks=hooked(frozen_scale))
        torch.testing.assert_close(ours, theirs, **CLOSE)
        assert (ours - model(TOKENS)).abs().max() > 0.01


@pytest.mark.parametrize("which", "qkv")
def test_a_fed_stream_is_read_as_the_layer_would(model, which):
    run, other = run_of(model)[1], run_of(model, TOKENS.flip(1))[1]
    fed = frozen_hooks.frozen_feed(model, which, run["resid_pre", 1], 1)
    torch.testing.assert_close(model.run_with_hooks(TOKENS, fwd_hooks=fed), model(TOKENS), **CLOSE)
    ((name, hook),) = frozen_hooks.frozen_feed(model, which, other["resid_pre", 1], 1)
    torch.testing.assert_close(hook(run[name], None), other[name], **CLOSE)


def test_a_reading_is_the_heads_pattern_and_what_leaving_it_out_takes_from_the_logits(model):
    if model.tokenizer is None:
        model.to_tokens = lambda text: TOKENS[:1]
    tokens, number = model.to_tokens(TEXT), 3
    _, run = run_of(model, tokens)
    pattern, sent, effect = frozen_scores.frozen_reading(model, (1, number), TEXT)
    torch.testing.assert_close(pattern, run["pattern", 1][0, number])
    added = frozen.frozen_logit_parts(model, tokens)[f"1:{number}"][0]
    over = added - added.mean(-1, keepdim=True)
    came = over[:-1].gather(1, tokens[0, 1:, None])[:, 0]
    torch.testing.assert_close(effect, torch.cat([came, torch.zeros(1)]), **CLOSE)
    attn = model.blocks[1].attn
    v = run["v", 1].repeat_interleave(model.cfg.n_heads // run["v", 1].shape[2], 2)[0, :, number]
    torch.testing.assert_close(sent, pattern * (v @ attn.W_O[number]).norm(dim=-1), **CLOSE)


@pytest.mark.parametrize("name", ROTATED)
def test_a_qk_circuit_is_the_scores_of_layer_0_at_each_distance(name):
    model = architectures.model_of(name)
    scores = run_of(model)[1]["blocks.0.attn.hook_attn_scores"]
    for head, distance in ((0, 0), (1, 2), (3, 5)):
        circuit = folded_circuits.folded_qk_circuit(model, 0, head, distance).AB
        query = torch.arange(distance, TOKENS.shape[1])
        expected = scores[:, head, query, query - distance]
        torch.testing.assert_close(circuit[TOKENS[:, query], TOKENS[:, query - distance]], expected, **CLOSE)


@pytest.mark.parametrize("name", ["paper", "mlp", *ROTATED])
def test_an_ov_circuit_is_what_heads_of_layer_0_add_to_logits_of_a_lone_token(name):
    """One token, all of whose attention is on itself, at the scale of its last stream; positions would be divided too."""
    model = architectures.model_of(name)
    for token in (5, 70):
        run = run_of(model, torch.tensor([[token]]))[1]
        alone = frozen.frozen_logit_parts(model, torch.tensor([[token]]))
        constant = frozen_scores.read_constant(model, 0, 2, "v") @ model.blocks[0].attn.W_O[2]
        norm, last = (
            frozen_weights.norm_before(model, model.cfg.n_layers),
            frozen.scale_in(run, model, model.cfg.n_layers),
        )
        expected = (
            alone["0:2"][0, 0] - norm.linear(constant, last if isinstance(last, float) else last[0, 0]) @ model.W_U
        )
        circuit = folded_circuits.folded_ov_circuit(model, 0, 2).AB[token]
        scale = last if isinstance(last, float) else last[0, 0]
        torch.testing.assert_close(circuit / scale, expected, **CLOSE)


def test_composition_scores_are_those_of_whole_matrices_with_gains(model):
    gains = [frozen_weights.norm_before(model, layer) for layer in (0, 1)]
    eye = torch.eye(model.cfg.d_model)
    fold = [norm.linear(eye) for norm in gains]  # x @ fold is what the norm makes of x at scale 1
    for kind in "QKV":
        scores = folded_circuits.folded_composition_scores(model, kind)
        for write, read in ((0, 0), (1, 3), (3, 2)):
            _, _, V, O = frozen_weights.grouped_weights(model, 0, write)
            Q, K, V_later, O_later = frozen_weights.grouped_weights(model, 1, read)
            QK = fold[1] @ Q @ (fold[1] @ K).T
            reads = {"Q": QK, "K": QK.T, "V": fold[1] @ V_later @ O_later}[kind]
            OV = fold[0] @ V @ O
            torch.testing.assert_close(scores[write, read], (OV @ reads).norm() / OV.norm() / reads.norm())


def test_composed_circuits_are_products_of_whole_matrices(model):
    eye, first, second = torch.eye(model.cfg.d_model), (0, 1), (1, 3)
    norms = [frozen_weights.norm_before(model, layer) for layer in (0, 1, model.cfg.n_layers)]
    fold = [norm.linear(eye) for norm in norms]
    embedded = [norm.linear(model.W_E, norm.scale(model.W_E)) for norm in norms]
    _, _, V, O = frozen_weights.grouped_weights(model, *first)
    Q, K, V_later, O_later = frozen_weights.grouped_weights(model, *second)
    wrote, factor = embedded[0] @ V @ O @ fold[1], frozen_scores.score_scale(model, 1)
    expected = {
        "k_composed_circuit": embedded[1] @ Q @ (wrote @ K).T * factor,
        "q_composed_circuit": wrote @ Q @ (embedded[1] @ K).T * factor,
        "virtual_ov_circuit": wrote @ V_later @ O_later @ fold[2] @ model.W_U,
    }
    for name, whole in expected.items():
        ours = getattr(folded_circuits, f"folded_{name}")(model, first, second)
        torch.testing.assert_close(ours.AB, whole, **CLOSE)
        if ours.AB.shape[0] == ours.AB.shape[1]:
            eigenvalues = torch.linalg.eigvals(whole.double())
            positivity = (eigenvalues.sum().real / eigenvalues.abs().sum()).float()
            torch.testing.assert_close(circuits.eigenvalue_positivity(ours), positivity, atol=1e-3, rtol=1e-3)


def test_virtual_heads_are_as_long_as_their_paths(model):
    run = run_of(model, TOKENS[:1])[1]
    ratios = frozen_scores.frozen_virtual_head_ratios(model, run)
    for write, read in ((0, 1), (2, 3)):
        wrote = run["z", 0][:, :, write] @ model.blocks[0].attn.W_O[write]
        values = frozen_scores.part_read(model, run, 1, read, "v", wrote)
        path = run["pattern", 1][:, read] @ values @ model.blocks[1].attn.W_O[read]
        whole = run["z", 1][:, :, read] @ model.blocks[1].attn.W_O[read]
        torch.testing.assert_close(ratios[write, read], path.norm() / whole.norm())


def test_what_is_not_known_is_refused_in_one_sentence():
    gemma, qwen3, bloom = (architectures.model_of(name) for name in ("gemma2", "qwen3", "bloom"))
    with pytest.raises(ValueError, match="norms of what layers write"):
        frozen.frozen_path_expansion(gemma, TOKENS)
    with pytest.raises(ValueError, match="norms of queries and keys"):
        frozen_scores.frozen_score_terms(qwen3, TOKENS, 1, 0)
    with pytest.raises(ValueError, match="norms of queries and keys"):
        frozen_scores.frozen_composed_scores(qwen3, run_of(qwen3, TOKENS[:1])[1], "K", (0, 0), (1, 0))
    with pytest.raises(ValueError, match="norm of the embedding"):
        folded_circuits.folded_qk_circuit(bloom, 0, 0)
    with pytest.raises(ValueError, match="do not add up"):
        frozen.check_sum(torch.ones(3), torch.tensor([1.0, 1.0, 1.1]), "x")


def test_what_cannot_be_held_or_asked_is_refused_in_one_sentence(monkeypatch):
    model = architectures.model_of("llama")
    monkeypatch.setattr(frozen, "NUMBERS", 60_000)  # of 18 places with 80 tokens: 41 paths
    with pytest.raises(ValueError, match=r"take first=1|take first=2"):
        frozen.frozen_path_expansion(model, TOKENS)
    later = int(str(_refusal(frozen.frozen_path_expansion, model, TOKENS)).rpartition("first=")[2])
    frozen.frozen_path_expansion(model, TOKENS, later)
    monkeypatch.setattr(frozen_scores, "NUMBERS", 1_000)
    with pytest.raises(ValueError, match="give `first`"):
        frozen_scores.frozen_score_terms(model, TOKENS, 2, 0)
    with pytest.raises(ValueError, match="last layer"):
        frozen_hooks.frozen_unread(model, TOKENS, (2, 0), "k")
    with pytest.raises(ValueError, match="'w' is not an input"):
        frozen_hooks.frozen_feed(model, "w", torch.zeros(2, 9, 32))
    with pytest.raises(ValueError, match=f"0 to {model.cfg.n_ctx - 1} positions before"):
        folded_circuits.folded_qk_circuit(model, 0, 0, model.cfg.n_ctx)
    with pytest.raises(ValueError, match="no 'X'-composition"):
        folded_circuits.folded_composition_scores(model, "X")


def _refusal(function, *args):
    with pytest.raises(ValueError) as error:
        function(*args)
    return error.value
