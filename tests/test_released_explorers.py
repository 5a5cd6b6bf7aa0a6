"""Explorers on models beyond the paper: their numbers by the run itself and by whole tables, and what they refuse."""

import architectures
import pytest
import torch

from walkthrough import circuits, searches, widgets
from walkthrough.beyond import folded_circuits, folded_rows, frozen, frozen_scores, frozen_sources
from walkthrough.widgets import attention_explorer

KNOWN = ("mlp", "layernorm", "gpt2", "llama", "pythia", "qwen2", "opt")
CLOSE = {"atol": 2e-5, "rtol": 2e-5}
PROMPT = "w1 w5 w7 w9 w1 w5"
HUNDREDTH = {"atol": 0.0051, "rtol": 1e-5}


@pytest.fixture(params=KNOWN)
def model(request):
    with torch.no_grad():
        yield architectures.model_of(request.param)


def test_streamed_rows_are_those_of_the_circuits(model):
    rows, tokens = folded_rows.TokenRows(model), torch.tensor([5, 70])
    distance = 3 if model.cfg.positional_embedding_type == "rotary" else 0
    looking, raising = rows.looking(tokens, 3, distance), rows.raising(tokens)
    for place, (layer, head) in enumerate(rows.heads()):
        QK = folded_circuits.folded_qk_circuit(model, layer, head, distance).AB
        torch.testing.assert_close(looking[place], (QK[:, tokens] - QK[:, [3]]).T, **CLOSE)
        OV = folded_circuits.folded_ov_circuit(model, layer, head).AB[tokens]
        torch.testing.assert_close(raising[place], OV - OV.mean(-1, keepdim=True), **CLOSE)


@pytest.mark.parametrize("k", [1, 8, 300])
def test_pruned_entries_are_the_largest(k):
    generator = torch.Generator().manual_seed(k)
    A, B = torch.randn(900, 4, generator=generator), torch.randn(4, 700, generator=generator)
    circuit = searches_circuit(
        A * torch.randn(900, 1, generator=generator), B * torch.tensor([[100.0], [1], [1], [0.01]])
    )
    values, rows, columns = folded_rows.pruned_largest(circuit, k)
    expected = searches.largest_entries(circuit, k)
    torch.testing.assert_close(values, expected[0])
    torch.testing.assert_close((circuit.A @ circuit.B)[rows, columns], values)
    assert len({*zip(rows.tolist(), columns.tolist())}) == k


def searches_circuit(A, B):
    return type(folded_circuits.folded_ov_circuit(architectures.model_of("llama"), 0, 0))(A, B)


def test_sources_add_up_to_the_parts_and_the_parts_to_the_logits(model):
    tokens, targets = model.to_tokens(PROMPT), torch.tensor([4, 60])
    logits, run = model.run_with_cache(tokens)
    parts = frozen.frozen_logit_parts(model, tokens, targets)
    b_U = getattr(model, "b_U", None)
    for position in range(tokens.shape[1]):
        bias = None if b_U is None else b_U[targets]
        sources = frozen_sources.part_sources(model, run, position, model.W_U[:, targets], bias)
        assert list(sources) == frozen_sources.part_names(model, run) == list(parts)
        for name, part in parts.items():
            torch.testing.assert_close(sources[name].sum(-1), part[0, position], **CLOSE)
            assert not sources[name][:, position + 1 :].any()
        torch.testing.assert_close(sum(sources.values()).sum(-1), logits[0, position, targets], **CLOSE)
    with pytest.raises(ValueError, match="there is no position 7"):
        frozen_sources.part_sources(model, run, 7, model.W_U)


def test_a_head_without_its_look_at_one_source_lacks_what_came_from_there():
    model = architectures.model_of("llama")
    tokens = model.to_tokens(PROMPT)
    run, position, source, head = model.run_with_cache(tokens)[1], 5, 2, (2, 3)
    parts = frozen_sources.part_sources(model, run, position, model.W_U)

    def unseen(pattern, hook):
        pattern = pattern.clone()
        pattern[:, head[1], position, source] = 0
        return pattern

    with model.hooks([(f"blocks.{head[0]}.attn.hook_pattern", unseen)]):
        changed = model.run_with_cache(tokens)[1][f"blocks.{head[0]}.hook_attn_out"]
    lost = (run[f"blocks.{head[0]}.hook_attn_out"] - changed)[0, position]
    scale = run["ln_final.hook_scale"][0, position]
    expected = (lost / scale * model.ln_final.weight) @ model.W_U
    torch.testing.assert_close(parts["2:3"][:, source], expected, **CLOSE)


def test_the_logit_explorers_bars_add_up_to_the_models_logits(model):
    made = widgets.LogitExplorer(model, PROMPT)
    logits = model(model.to_tokens(PROMPT))[0]
    assert "part of the last stream" in made.data["note"]
    record = made.data["prompts"][PROMPT]
    for position, at in record["at"].items():
        likely = logits[position].topk(5).values
        torch.testing.assert_close(torch.tensor(at["raw"]["sum"])[:5], likely, atol=1e-3, rtol=1e-4)
        above = likely - logits[position].mean()
        torch.testing.assert_close(torch.tensor(at["above"]["sum"])[:5], above, atol=1e-3, rtol=1e-4)
        for bars in at["above"]["bars"]:
            assert len(bars) == len(made.data["paths"])
    assert made.described()
    assert made.tables()
    assert made.still()


def test_the_attention_explorer_shows_the_runs_patterns_and_what_a_group_sends(model):
    made = widgets.AttentionExplorer(model, PROMPT)
    run = model.run_with_cache(model.to_tokens(PROMPT))[1]
    for layer, record in enumerate(made.data["prompts"][PROMPT]["layers"]):
        torch.testing.assert_close(made.pattern(PROMPT, layer), run["pattern", layer][0], **HUNDREDTH)
        v = run["v", layer][0].repeat_interleave(model.cfg.n_heads // run["v", layer].shape[2], 1)
        sent = torch.stack([(v[:, h] @ model.blocks[layer].attn.W_O[h]).norm(dim=-1) for h in range(model.cfg.n_heads)])
        torch.testing.assert_close(torch.tensor(record["norms"]), sent, atol=1e-3, rtol=1e-3)
    assert made.described()


def test_the_circuit_explorer_shows_the_whole_tables_largest_entries(model):
    made = widgets.CircuitExplorer(model, PROMPT, tokens=["w70"])
    assert "error" not in made.data
    ids = model.to_tokens(PROMPT)[0]
    assert set(made.data["prompts"][PROMPT]["found"]) == {ids[1].item()}
    for token, layers in {**made.data["found"], **made.data["prompts"][PROMPT]["found"]}.items():
        for layer, heads in enumerate(layers):
            for head, (_, log_odds, _, logits) in enumerate(heads):
                QK = folded_circuits.folded_qk_circuit(model, layer, head).AB
                OV = circuits.centred(folded_circuits.folded_ov_circuit(model, layer, head)).AB
                bos = architectures.BOS_ID if made.bos else 0
                keen = (QK[:, token] - QK[:, bos]).topk(20).values
                torch.testing.assert_close(torch.tensor(log_odds) / 100, keen, **HUNDREDTH)
                torch.testing.assert_close(torch.tensor(logits) / 100, OV[token].topk(20).values, **HUNDREDTH)
    assert made.described()
    assert made.tables()


def test_the_composition_explorer_shows_a_term_of_the_scores_and_the_tables_largest_entries(model):
    made = widgets.CompositionExplorer(model, PROMPT, layers=[0, 1], edge="K 0:1 1:3")
    assert "error" not in made.data
    run = model.run_with_cache(model.to_tokens(PROMPT))[1]
    term = frozen_scores.frozen_composed_scores(model, run, "K", (0, 1), (1, 3))
    seen = torch.arange(1, len(term) + 1)[:, None]
    expected = (term - term.tril().sum(-1, keepdim=True) / seen).tril()
    torch.testing.assert_close(made.on_the_prompt("K 0:1 1:3", PROMPT), expected, **CLOSE)
    table = folded_circuits.folded_k_composed_circuit(model, (0, 1), (1, 3)).AB
    top = (table - table.mean(-1, keepdim=True)).flatten().topk(8).values
    shown = torch.tensor([value for *_, value in made.data["circuits"]["K 0:1 1:3"]["top"]])
    torch.testing.assert_close(shown, top, **HUNDREDTH)
    scores = folded_circuits.folded_composition_scores(model, "K", (0, 1))
    torch.testing.assert_close(torch.tensor(made.data["scores"][0][1]), scores, atol=1e-5, rtol=1e-5)
    assert made.described()
    assert made.tables()


@pytest.mark.parametrize("name", ["mlp", "llama", "gpt2"])
def test_chance_is_one_over_d_model_whatever_the_gains(name):
    model = architectures.model_of(name)
    squares = folded_circuits.chance_scores(model, seeds=60).square().mean((0, 2, 3))
    torch.testing.assert_close(squares, torch.full((3,), 1 / model.cfg.d_model), rtol=0.07, atol=0)


def test_what_an_explorer_cannot_show_gets_one_sentence(monkeypatch):
    gemma, qwen3, llama = (architectures.model_of(name) for name in ("gemma2", "qwen3", "llama"))
    for kind, model in (
        (widgets.LogitExplorer, gemma),
        (widgets.CircuitExplorer, qwen3),
        (widgets.CompositionExplorer, qwen3),
    ):
        error = kind(model, PROMPT).data["error"]
        assert "no formula of this course takes that apart" in error
    assert "has MLPs or LayerNorm" in widgets.CheckpointExplorer(llama, PROMPT).data["error"]
    assert "error" not in widgets.AttentionExplorer(gemma, PROMPT).data
    assert "layers are 2 to 6 of 0 to 2" in widgets.CompositionExplorer(llama, PROMPT, layers=[0, 3]).data["error"]
    monkeypatch.setattr(llama.cfg, "n_layers", 30)
    assert "too many pairs to draw" in widgets.CompositionExplorer(llama, PROMPT).data["error"]
    monkeypatch.undo()
    monkeypatch.setattr(attention_explorer, "HELD", 400)
    assert "shorten the prompt to at most 5 tokens" in widgets.AttentionExplorer(llama, PROMPT).data["error"]
