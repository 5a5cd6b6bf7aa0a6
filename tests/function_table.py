"""What each public function that takes a model does on each architecture: how it is called, and a second road to it."""

from collections.abc import Callable
from typing import NamedTuple

import torch

from walkthrough import behaviour, paths
from walkthrough.architecture import bos
from walkthrough.beyond.blind_search import Stand
from walkthrough.beyond.faithful import twin_prompts
from walkthrough.circuits import ov_circuit, qk_circuit
from walkthrough.one_layer.bugs import Triples
from walkthrough.one_layer.skip_trigrams import SkipTrigram
from walkthrough.two_layers import in_context

NAMES = ("paper", "mlp", "layernorm", "gpt2", "opt", "pythia", "llama", "qwen2", "qwen3", "gemma2")
HEAD, LENGTH = (1, 2), 7


class Case(NamedTuple):
    """How a function is called with a model, and the other road to what it gives.

    A road is a function of the architecture's name and its slow model; "slow", the same call with the slow model; or
    the file of the tests that walk it. `beyond` is the road where the paper's formula does not hold.
    """

    call: Callable
    road: Callable | str = "slow"
    n_layers: int | None = None
    beyond: Callable | str = ""


def tokens(model, seed: int = 0):
    """Three prompts of ten tokens, `<BOS>` first."""
    return behaviour.repeated_tokens(model.cfg.d_vocab, 9, 1, 3, seed, bos(model))


def twice(model, seed: int = 0):
    """Random tokens said twice."""
    return behaviour.repeated_tokens(model.cfg.d_vocab, LENGTH, 2, 3, seed, bos(model))


def rows(model):
    """Longer ones, in which the tokens below 30 are rare: windows of a text."""
    generator = torch.Generator().manual_seed(1)
    return torch.cat(
        [torch.full((40, 1), bos(model)), torch.randint(30, model.cfg.d_vocab, (40, 32), generator=generator)], 1
    )


def cached(model):
    """The cache of a run on the first prompt."""
    return model.run_with_cache(tokens(model)[:1])[1]


def mixture(model):
    """Prompts in which a token had two followers, with the model's own `<BOS>`."""
    made = in_context.mixtures(model.cfg.d_vocab, 2, 1, 3, gap=3)
    change = lambda ids: behaviour.begun_with(ids, bos(model))
    b, c = (change(ids[:, None])[:, 0] for ids in (made.b, made.c))
    return made._replace(rows=change(made.rows), twins=change(made.twins), b=b, c=c)


def hooked(hooks_of: Callable) -> Callable:
    """Logits of a run with the hooks that a function returns."""
    return lambda f, m: m.run_with_hooks(tokens(m), fwd_hooks=hooks_of(f, m))


def places(model):
    """Two positions for each prompt."""
    return [torch.tensor([1, 2, 3]), torch.tensor([4, 5, 6])]


def weights(slow, layer: int, head: int) -> tuple:
    """W_Q, W_K, W_V and W_O of one head, from the network's own modules."""
    shared = head * slow.W_K.shape[1] // slow.cfg.n_heads
    return slow.W_Q[layer, head], slow.W_K[layer, shared], slow.W_V[layer, shared], slow.W_O[layer, head]


def ends(slow) -> tuple:
    """W_E and W_U of a network of ours."""
    return slow.W_E, slow.W_U


def dense_qk(name, slow, queries=None, keys=None, head=HEAD):
    """A table of scores, entry by entry, of a network of ours; of tokens, or of what was made of them."""
    W_E, _ = ends(slow)
    W_Q, W_K, *_ = weights(slow, *head)
    queries, keys = (W_E if x is None else x for x in (queries, keys))
    return (queries @ W_Q) @ (keys @ W_K).T / slow.cfg.d_head**0.5


def moved(slow, x, head):
    """What a head of ours makes of vectors it looks at."""
    *_, W_V, W_O = weights(slow, *head)
    return x @ W_V @ W_O


def final(slow, x, resid):
    """What a part of the last stream becomes in the norm before W_U, with the scale that it has for all of the stream."""
    norm = slow.ln_final if slow.cfg.normalization_type else None
    if norm is None:
        return x
    with torch.no_grad():
        bias = norm(torch.zeros_like(resid)) if getattr(norm, "bias", None) is not None else 0
        whole, centre = norm(resid) - bias, getattr(norm, "bias", None) is not None
        a, b = ((y - y.mean(-1, keepdim=True)) if centre else y for y in (x, resid))
        return a * (whole / b)  # the norm multiplies each coordinate by gain over scale


def reading(f, m):
    """On a text of the model's tokens: of three words, `<BOS>` first where the model puts it."""
    return f(m, HEAD, "w5 w9 w5 w7")


def slow_reading(name, slow):
    """The same from patterns, values and z of the slow run, and the last norm with its scale."""
    ids, (layer, head) = slow.to_tokens("w5 w9 w5 w7"), HEAD
    _, run = slow.run_with_cache(ids)
    pattern, v, z = (run[kind, layer][0] for kind in ("pattern", "v", "z"))
    v = v.repeat_interleave(slow.cfg.n_heads // v.shape[1], dim=1)[:, head]
    resid = run["resid_post", slow.cfg.n_layers - 1][0]
    added = final(slow, z[:, head] @ slow.W_O[layer, head], resid) @ slow.unembed.weight.T
    effect = added[:-1].gather(1, ids[0, 1:, None])[:, 0] - added[:-1].mean(1)
    sent = (v @ slow.W_O[layer, head]).norm(dim=-1)
    return pattern[head], pattern[head] * sent, torch.cat([effect, torch.zeros(1)])


def terms(f, m):
    """A head's pattern, from the sum of all terms of its scores; windows and caps are for refusals to know."""
    return sum(f(m, tokens(m), *HEAD).values()).masked_fill(torch.ones(10, 10).triu(1).bool(), -torch.inf).softmax(-1)


def its_pattern(name, slow):
    """The pattern of the slow run."""
    return slow.run_with_cache(tokens(slow))[1]["pattern", HEAD[0]][:, HEAD[1]]


def its_stream(name, slow):
    """The last stream of the slow run."""
    return slow.run_with_cache(tokens(slow)[:1])[1]["resid_post", slow.cfg.n_layers - 1]


def dense_composition(name, slow):
    """Norms of whole products, pair by pair."""
    scores = torch.zeros(slow.cfg.n_heads, slow.cfg.n_heads)
    for write in range(slow.cfg.n_heads):
        for read in range(slow.cfg.n_heads):
            W_OV = moved(slow, torch.eye(slow.cfg.d_model), (0, write))
            W_Q, W_K, *_ = weights(slow, 1, read)
            reads = W_K @ W_Q.T
            scores[write, read] = (W_OV @ reads).norm() / W_OV.norm() / reads.norm()
    return scores


def dense_corner(name, slow):
    """The three numbers of each pair, from eigenvalues of whole tables."""
    W_E, W_U = ends(slow)
    positive = lambda table: (values := torch.linalg.eigvals(table.double())).sum().real / values.abs().sum()
    found = torch.zeros(slow.cfg.n_heads, slow.cfg.n_heads, 3)
    for early in range(slow.cfg.n_heads):
        for late in range(slow.cfg.n_heads):
            ov = moved(slow, W_E, (1, late)) @ W_U
            score = dense_qk(name, slow, None, moved(slow, W_E, (0, early)), (1, late))
            gain = score.diagonal().mean() - score.mean()
            found[early, late] = torch.stack([positive(ov - ov.mean(1, keepdim=True)), positive(score), gain])
    return found


def ids(*numbers):
    """Token ids, as a tensor."""
    return torch.tensor(numbers)


def twins(model):
    """The same contexts with a source and without."""
    return twin_prompts(5, 6, rows(model), ids(11, 12), 4, 24)


def after_pair(slow, x, first, second):
    """What two heads of ours, one after the other, make of vectors."""
    return moved(slow, moved(slow, x, first), second)


def slow_triples(name, slow):
    """The scores of skip-trigrams, head by head and entry by entry."""
    W_E, W_U = ends(slow)
    found = torch.zeros(slow.cfg.n_heads, 2)
    for head in range(slow.cfg.n_heads):
        qk, ov = dense_qk(name, slow, head=(0, head)), moved(slow, W_E, (0, head)) @ W_U
        ov = ov - ov.mean(1, keepdim=True)
        for i, (source, destination, out) in enumerate(((5, 6, 7), (9, 8, 4))):
            found[head, i] = (qk[destination, source] - qk[destination, 0]).sigmoid() * ov[source, out]
    return found


def slow_composed(name, slow):
    """What the query reads of tokens, and the key of what a head of layer 0 wrote."""
    W_E, _ = ends(slow)
    run = slow.run_with_cache(tokens(slow)[:1])[1]
    wrote = run["z", 0][0, :, 1] @ slow.W_O[0, 1]
    return dense_qk(name, slow, W_E[tokens(slow)[0]], wrote)


def slow_order(name, slow):
    """The loss of the direct path, and that of the model: the first and the last order."""
    W_E, W_U = ends(slow)
    ordered = torch.stack([W_E[tokens(slow)[:, :-1]] @ W_U, slow(tokens(slow)[:, :-1])])
    return torch.stack([behaviour.loss_per_position(logits, tokens(slow)) for logits in ordered])


def neurons(name, slow):
    """What the neurons of layer 0 get before the ReLU."""
    found = []
    end = slow.parts[0].mlp.fc_in.register_forward_hook(lambda _module, _args, output: found.append(output))
    slow(tokens(slow))
    end.remove()
    return found[0]


def blind(search: str) -> Callable:
    """How a part of the blind searches is called; its stand is that of embeddings alone."""
    stand = lambda m: Stand(m.W_E.clone(), m.W_E.mean(0))
    share, some = lambda m: torch.ones(m.cfg.d_vocab), ids(5, 6)
    return {
        "log_attention": lambda f, m: f(m, 0, stand(m), m.W_E[:2]),
        "stands": lambda f, m: f(m, share(m)),
        "looks_at": lambda f, m: f(m, 0, stand(m), some, some),
        "moves": lambda f, m: f(m, 0, stand(m), some),
        "skip_trigram_search": lambda f, m: f(m, share(m), some, some, least=0.0),
        "misquote_search": lambda f, m: f(m, share(m), [HEAD], some),
    }[search]


def three_changes(name, slow):
    """A run without head 0:1, with its output on other tokens, and without it while all patterns stay."""
    run, other = (slow.run_with_cache(tokens(slow, seed))[1] for seed in (0, 1))
    put = lambda z, by: torch.cat([z[:, :, :1], by, z[:, :, 2:]], 2)
    delete = ("blocks.0.attn.hook_z", lambda z, hook: put(z, torch.zeros_like(z[:, :, 1:2])))
    swap = ("blocks.0.attn.hook_z", lambda z, hook: put(z, other["z", 0][:, :, 1:2]))
    name_of = "blocks.{}.attn.hook_pattern".format
    hold = [(name_of(at), lambda _, hook: run["pattern", hook.layer()]) for at in range(slow.cfg.n_layers)]
    return [slow.run_with_hooks(tokens(slow), fwd_hooks=hooks) for hooks in ([delete], [swap], [delete, *hold])]


TRIPLES = Triples(ids(5, 9), ids(6, 8), ids(7, 4), torch.ones(2), ids(0, 0))
SKIP = 5, 6, [7, 8]  # source, destination, outs: ordinary tokens
TABLE = {
    "behaviour:measure": Case(lambda f, m: f(m, rows(m)[:5], length=9)),
    "behaviour:copy_loss": Case(lambda f, m: f(m, twice(m), LENGTH)),
    "interventions:ablate": Case(hooked(lambda f, m: f(m, [(0, 1), HEAD]))),
    "interventions:swap": Case(hooked(lambda f, m: f(m, [(0, 1), HEAD], tokens(m, 1)))),
    "interventions:look_back": Case(hooked(lambda f, m: f(m, HEAD, 2))),
    "interventions:on_head": Case(hooked(lambda f, m: [f(m, HEAD, "z", lambda z: 2 * z)])),
    "interventions:unread": Case(lambda f, m: f(m, tokens(m), (0, 1), "k"), "test_frozen.py"),
    "interventions:feed": Case(lambda f, m: f(m, "k", cached(m)["resid_pre", 1], 1), "test_frozen.py"),
    "beyond.bridge:said_on_copies": Case(lambda f, m: f(m, LENGTH, 4)),
    "beyond.bridge:raised_by_source": Case(lambda f, m: f(m, LENGTH, 4)),
    "beyond.cosines:streams_by_part": Case(lambda f, m: f(m, tokens(m))),
    "beyond.cosines:cosines_by_part": Case(lambda f, m: f(m, tokens(m))),
    "beyond.cosines:rise_by_source": Case(lambda f, m: f(m, tokens(m))),
    "beyond.forces:messages": Case(lambda f, m: f(m, cached(m), *HEAD)),
    "beyond.reach:previous_token_head": Case(lambda f, m: f(m, tokens(m))),
    "beyond.reach:induction_head": Case(lambda f, m: f(m, LENGTH)),
    "beyond.reach:head_moves": Case(lambda f, m: f(m, tokens(m), HEAD)),
    "beyond.reach:force_reach": Case(lambda f, m: f(m, HEAD, LENGTH)),
    "beyond.outcomes:rise_without": Case(lambda f, m: f(m, tokens(m), HEAD)),
    "two_layers.in_context:right_token": Case(lambda f, m: f(m, twice(m), LENGTH)),
    "two_layers.in_context:log_ratio": Case(lambda f, m: f(m, mixture(m))),
    "two_layers.in_context:paid_to_followers": Case(lambda f, m: f(m, mixture(m), [0, 2], m.cfg.n_layers - 1)),
    "two_layers.induction:induction_heads": Case(lambda f, m: f(m, length=LENGTH)),
    "two_layers.induction:best_score": Case(lambda f, m: f(m, twice(m), LENGTH, without=[HEAD])),
    "two_layers.induction:own_token_heads": Case(lambda f, m: f(m, length=LENGTH, layer=1)),
    "two_layers.induction:costs": Case(lambda f, m: f(m, twice(m), LENGTH, [[]])),
    "two_layers.induction:steered": Case(lambda f, m: f(m, twice(m), LENGTH, (0, 1), [0, 2], 1, m.cfg.n_layers - 1)),
    "two_layers.induction:attention_to": Case(lambda f, m: f(m, [], [0, 2], tokens(m), places(m), m.cfg.n_layers - 1)),
    "two_layers.induction:losses": Case(lambda f, m: f(m, tokens(m), [HEAD], frozen=True)),
    "two_layers.induction:changes_of": Case(
        lambda f, m: [
            m.run_with_hooks(tokens(m), fwd_hooks=hooks)
            for way, hooks in f(m, tokens(m), tokens(m, 1), (0, 1)).items()
            if not way.startswith("out of")  # these are `unread`
        ],
        three_changes,
    ),
    "two_layers.term_importance:two_patterns": Case(lambda f, m: f(m, tokens(m)), n_layers=2),
    "two_layers.term_importance:silence_costs": Case(lambda f, m: f(m, tokens(m), [[(0, 1)], [HEAD]]), n_layers=2),
    "one_layer.bugs:in_text": Case(
        lambda f, m: f(m, *rows(m)[0, [25, 30]].tolist(), rows(m), ids(40, 41, 42), length=20)
    ),
    "one_layer.copying:copying_effect": Case(lambda f, m: f(m, ids(5, 9), ids(6, 7, 8), rows(m), ids(11, 12), [])),
    "one_layer.copying:added_where_attended": Case(lambda f, m: f(m, 1, tokens(m), paths.freeze([]))),
    "one_layer.skip_trigrams:SkipTrigram.ids": Case(
        lambda f, m: f(SkipTrigram("w5", "w6", ("w7", "w8")), m), lambda name, slow: (5, 6, [7, 8])
    ),
    "one_layer.skip_trigrams:with_and_without": Case(lambda f, m: f(m, *SKIP[:2], rows(m), ids(11, 12), 20)),
    "one_layer.skip_trigrams:effect": Case(lambda f, m: f(m, *SKIP, rows(m), ids(11, 12), 20)),
    "one_layer.skip_trigrams:effect_elsewhere": Case(lambda f, m: f(m, *SKIP, rows(m), ids(11, 12, 13), 20, 2)),
    "beyond.faithful:end_log_probs": Case(lambda f, m: f(m, tokens(m))),
    "beyond.faithful:term_rise": Case(lambda f, m: f(m, twins(m), 7)),
    "beyond.faithful:end_outputs": Case(lambda f, m: f(m, tokens(m))),
    "beyond.faithful:put_at_end": Case(hooked(lambda f, m: f(m, [HEAD], torch.ones(m.cfg.n_layers, 1, 4, 8)))),
    "beyond.faithful:other_heads": Case(lambda f, m: f(m, [HEAD])),
    "beyond.faithful:faithfulness": Case(lambda f, m: f(m, twins(m), 7, [HEAD])),
    "beyond.faithful:refute": Case(lambda f, m: f(m, twins(m), 7, ids(11, 12, 13), tries=3)),
    "models:check_head": Case(lambda f, m: f(m, *HEAD), lambda name, slow: None),
    "two_layers.composition:check_pair": Case(lambda f, m: f(m, (0, 1), HEAD), lambda name, slow: None),
    # formulas: on the paper's own, by whole matrices; on others, what they are exchanged for adds up to what the slow road has
    "paths:path_expansion": Case(lambda f, m: sum(f(m, tokens(m)).values()), lambda name, slow: slow(tokens(slow))),
    "paths:attention_score_terms": Case(terms, its_pattern),
    "paths:stream_parts": Case(lambda f, m: f(cached(m), m.W_O).sum(0), its_stream),
    "two_layers.induction:reading": Case(reading, slow_reading),
    "two_layers.composition:composition_scores": Case(
        lambda f, m: f(m, "K"), dense_composition, beyond="test_frozen.py"
    ),
    "two_layers.composition:composed_scores": Case(
        lambda f, m: f(m, cached(m), "K", (0, 1), HEAD), slow_composed, beyond="test_frozen.py"
    ),
    "two_layers.composition:virtual_head_ratios": Case(
        lambda f, m: f(m, cached(m)), "test_composition.py", beyond="test_frozen.py"
    ),
    "circuits:qk_circuit": Case(lambda f, m: f(m, *HEAD).AB, dense_qk, beyond="test_frozen.py"),
    "circuits:ov_circuit": Case(
        lambda f, m: f(m, *HEAD).AB,
        lambda name, slow: moved(slow, ends(slow)[0], HEAD) @ ends(slow)[1],
        beyond="test_frozen.py",
    ),
    "two_layers.composition:q_composed_circuit": Case(
        lambda f, m: f(m, (0, 1), HEAD).AB,
        lambda name, slow: dense_qk(name, slow, moved(slow, ends(slow)[0], (0, 1))),
        beyond="test_frozen.py",
    ),
    "two_layers.composition:k_composed_circuit": Case(
        lambda f, m: f(m, (0, 1), HEAD).AB,
        lambda name, slow: dense_qk(name, slow, None, moved(slow, ends(slow)[0], (0, 1))),
        beyond="test_frozen.py",
    ),
    "two_layers.composition:virtual_ov_circuit": Case(
        lambda f, m: f(m, (0, 1), HEAD).AB,
        lambda name, slow: after_pair(slow, ends(slow)[0], (0, 1), HEAD) @ ends(slow)[1],
        beyond="test_frozen.py",
    ),
    "two_layers.matching:two_token_circuit": Case(
        lambda f, m: f(m, (0, 1), (0, 3), HEAD).AB,
        lambda name, slow: dense_qk(name, slow, *(moved(slow, ends(slow)[0], (0, head)) for head in (1, 3))),
    ),
    "two_layers.matching:term_advantages": Case(
        lambda f, m: torch.stack(list(f(m, twice(m), LENGTH, HEAD).values())), "test_matching.py"
    ),
    "two_layers.induction:corner_table": Case(lambda f, m: f(m), dense_corner),
    "two_layers.induction:effective_embedding": Case(lambda f, m: f(m), "test_induction.py"),
    "two_layers.term_importance:ordered_losses": Case(lambda f, m: f(m, tokens(m))[[0, -1]], slow_order),
    "two_layers.term_importance:path_groups": Case(
        lambda f, m: f(m, tokens(m)[:1], list(map(cached(m).__getitem__, [("pattern", 0), ("pattern", 1)]))).sum(0),
        its_stream,
    ),
    "two_layers.term_importance:measure_sums": Case(lambda f, m: f(m, tokens(m)), "test_term_importance.py", 2),
    "two_layers.term_importance:current_token_losses": Case(lambda f, m: f(m, tokens(m)), "test_term_importance.py", 2),
    "two_layers.term_importance:fading": Case(
        lambda f, m: f(m, tokens(m), torch.ones(1)), "test_term_importance.py", 2
    ),
    "two_layers.virtual_heads:virtual_values": Case(
        lambda f, m: f(m, tokens(m), [torch.ones(3, 4, 10, 10)] * 2), "test_term_importance.py", 2
    ),
    "two_layers.virtual_heads:virtual_effects": Case(lambda f, m: f(m, tokens(m)), "test_term_importance.py", 2),
    "two_layers.virtual_heads:value_losses": Case(
        lambda f, m: f(m, twice(m), twice(m, 1), LENGTH, [0], [1]), "test_term_importance.py", 2
    ),
    "two_layers.causes:head_terms": Case(
        lambda f, m: (
            f(m, tokens(m), HEAD[1]).sum((0, 1)).masked_fill(torch.ones(10, 10).triu(1).bool(), -torch.inf).softmax(-1)
        ),
        its_pattern,
    ),
    "two_layers.forming:measured": Case(lambda f, m: f(m, tokens(m)), "test_forming.py"),
    "two_layers.forming:between": Case(lambda f, m: f(m), "test_forming.py"),
    "one_layer.bugs:factors": Case(lambda f, m: f(m, 1, 5), "test_bugs.py"),
    "one_layer.bugs:strength": Case(lambda f, m: f(m, TRIPLES), slow_triples),
    "one_layer.bugs:crossings": Case(
        lambda f, m: f(m, rows(m), torch.ones(80, 80, dtype=torch.long), TRIPLES), "test_bugs.py"
    ),
    "one_layer.bug_cost:strongest_source": Case(lambda f, m: f(m, tokens(m)), "test_bug_cost.py", 1),
    "one_layer.bug_cost:tally": Case(lambda f, m: f(m, rows(m), torch.arange(40), 3, 1), "test_bug_cost.py", 1),
    "one_layer.copying:copying_table": Case(lambda f, m: f(m, ids(5, 9), ids(6, 7, 8, 10), 1), "test_copying.py"),
    "one_layer.copying:copied_in_pieces": Case(lambda f, m: f(m, 1, ids(5), ids(6), ids(7)), "test_copying.py"),
    "one_layer.lookup:head_tables": Case(lambda f, m: f(m, 1)["token_token"], lambda n, s: dense_qk(n, s, head=(0, 1))),
    "one_layer.skip_trigrams:strengths": Case(
        lambda f, m: f(m, TRIPLES.source, TRIPLES.destination, TRIPLES.out[:, None]).diagonal(dim1=1, dim2=2),
        slow_triples,
    ),
    "one_layer.skip_trigrams:skip_trigram_score": Case(
        lambda f, m: torch.stack(
            [f(qk_circuit(m, 0, head), ov_circuit(m, 0, head), 5, 6, [7]) for head in range(m.cfg.n_heads)]
        ),
        lambda name, slow: slow_triples(name, slow)[:, 0],
    ),
    "one_layer.skip_trigrams:weigh": Case(lambda f, m: f(m, *SKIP, ids(11, 12)), "test_skip_trigrams.py"),
    "one_layer.skip_trigrams:examine": Case(
        lambda f, m: f(m, *SKIP, rows(m), torch.arange(10, 30), 20), "test_skip_trigrams.py"
    ),
    "beyond.kinds:said_by_heads": Case(
        lambda f, m: f(m, ids(5, 9)),
        lambda name, slow: torch.stack(
            [
                (table - table.mean(1, keepdim=True)).norm(dim=1)
                for table in (moved(slow, ends(slow)[0][[5, 9]], (0, head)) @ ends(slow)[1] for head in range(4))
            ]
        ),
    ),
    "beyond.layernorm:folded": Case(lambda f, m: f(m), "test_layernorm.py"),
    "beyond.mlp:preactivation_terms": Case(lambda f, m: sum(f(m, tokens(m)).values()), neurons, 1),
    "beyond.mlp:logit_terms": Case(lambda f, m: sum(f(m, tokens(m)).values()), lambda n, s: s(tokens(s)), 1),
    "beyond.forces:heads_read": Case(lambda f, m: f(m, cached(m), 1)),
    "beyond.forces:weights_of": Case(lambda f, m: f(m, *HEAD)),
    "beyond.forces:force_table": Case(lambda f, m: f(m, tokens(m))),
    "models:head_weights": Case(lambda f, m: f(m, *HEAD), lambda name, slow: weights(slow, *HEAD)),
    "models:norms": Case(lambda f, m: f(m)),
}
for search in ("log_attention", "stands", "looks_at", "moves", "skip_trigram_search", "misquote_search"):
    TABLE[f"beyond.blind_search:{search}"] = Case(blind(search), "test_editing.py")
