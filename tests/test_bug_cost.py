"""The cost of skip-trigram bugs, in worlds where it is known exactly, and the tallies by loops."""

from inspect import unwrap  # the type checker refuses some of what a learner without it would pass

import pytest
import torch

from walkthrough import corpus, models
from walkthrough.one_layer import bug_cost
from walkthrough.one_layer.bug_cost import Errors, remove, shared_error, tally

N_PRESENT, N_SOURCE, N_OUT, FOLDS = 6, 5, 8, 10


def world(table: float = 0.0, strength: float = 0.0, three_way: float = 0.0, each_fold: float = 0.0, seed: int = 0):
    """A factored model's logits, the logits of data that differ from it in known ways, and what its heads push."""
    g = torch.Generator().manual_seed(seed)
    noise = lambda *shape: torch.randn(*shape, generator=g, dtype=torch.float64)
    present, source = torch.meshgrid(torch.arange(N_PRESENT), torch.arange(N_SOURCE), indexing="ij")
    present, source = present.flatten(), source.flatten()
    push, attention = noise(N_SOURCE, N_OUT)[source], torch.rand(len(present), 1, generator=g, dtype=torch.float64)
    model = noise(N_PRESENT, N_OUT)[present] + attention * push
    truth = model + table * (noise(N_PRESENT, N_OUT)[present] + noise(N_SOURCE, N_OUT)[source])
    truth = truth + strength * noise(len(present), 1) * push + three_way * noise(len(present), N_OUT)
    folds = truth + each_fold * noise(FOLDS, len(present), N_OUT)
    return present, source, push, model, truth, folds


def sample(present, source, push, model, folds, n=4000, seed=1) -> Errors:
    """What `tally` would give for `n` tokens of each context in each fold."""
    g = torch.Generator().manual_seed(seed)
    probs, shape = model.softmax(-1), folds.shape
    drawn = torch.multinomial(folds.softmax(-1).flatten(0, 1), n, replacement=True, generator=g).view(*shape[:2], n)
    counted = torch.zeros(shape, dtype=torch.float64).scatter_add(-1, drawn, torch.ones_like(drawn).double())
    seen = counted.sum(-1).float()
    wrong, expected = (counted - n * probs).float(), (n * FOLDS * probs).float()
    return Errors(wrong, seen, expected, present, source, push.float(), torch.arange(N_OUT - 1), int(seen.sum()))


@torch.enable_grad()
def best_repair(present, source, push, model, truth, terms: int) -> float:
    """KL(truth || model repaired as well as `terms` allows) in nats, by exact descent in the whole population."""
    zeros = lambda *shape: torch.zeros(*shape, dtype=torch.float64, requires_grad=True)
    u, v, k = zeros(N_PRESENT, N_OUT), zeros(N_SOURCE, N_OUT), zeros(len(present), 1)
    knobs = [u, v, k][:terms]
    target = truth.softmax(-1)

    def loss():
        repaired = model + (terms > 0) * u[present] + (terms > 1) * v[source] + (terms > 2) * k * push
        return (target * (target.log() - repaired.log_softmax(-1))).sum(-1).mean()

    if terms:
        optimiser = torch.optim.LBFGS(knobs, max_iter=500, line_search_fn="strong_wolfe", tolerance_change=1e-12)

        def closure():
            optimiser.zero_grad()
            value = loss()
            value.backward()
            return value

        optimiser.step(closure)
    return loss().item()


@pytest.mark.parametrize("terms", range(4))
@pytest.mark.parametrize("kind", [{"three_way": 0.2}, {"table": 0.15, "strength": 0.2, "three_way": 0.15}])
def test_recovers_a_known_cost(kind, terms):
    present, source, push, model, truth, folds = world(**kind)
    cost, stderr = shared_error(sample(present, source, push, model, folds), terms, sweeps=60)
    known = best_repair(present, source, push, model, truth, terms)
    assert known > 0.002
    assert stderr < 0.1 * known
    assert abs(cost - known) < 4 * stderr + 0.15 * known  # 0.15: it is a second-order estimate


@pytest.mark.parametrize(("kind", "terms"), [({}, 0), ({"table": 0.2}, 2), ({"table": 0.2, "strength": 0.2}, 3)])
def test_what_can_be_said_costs_nothing_beyond(kind, terms):
    """And what cannot be said with one term fewer is seen there, so that the zero is not for want of power."""
    *parts, truth, folds = world(**kind)
    errors = sample(*parts, folds)
    cost, stderr = shared_error(errors, terms, sweeps=60)
    total = best_repair(*parts, truth, 0)
    assert abs(cost) < 4 * stderr + 0.05 * total
    assert stderr < 0.001
    if terms:
        fewer, stderr = shared_error(errors, terms - 1, sweeps=60)
        assert fewer > max(5 * stderr, 5 * abs(cost), 0.1 * total)


def test_errors_that_files_do_not_share_cost_nothing():
    *parts, _, folds = world(each_fold=0.3)
    cost, stderr = shared_error(sample(*parts, folds))
    naive = sample(*parts, folds).wrong.square().sum() / 2 / 4000**2 / folds[0].numel() / FOLDS
    assert abs(cost) < 4 * stderr
    assert naive > 0


def test_few_tokens_bring_no_bias():
    """With 20 tokens of each context in each fold, chi-squared from one pool of files would be far off."""
    *parts, _, folds = world()
    costs = torch.tensor([[x.item() for x in shared_error(sample(*parts, folds, 20, s), 2)] for s in range(40)])
    assert abs(costs[:, 0].mean()) < 4 * costs[:, 0].std() / 40**0.5
    assert 0.5 < costs[:, 1].mean() / costs[:, 0].std() < 2  # and the standard error is about the true spread


@pytest.mark.parametrize(("terms", "sweeps"), [(0, 1), (1, 60), (2, 300), (3, 10000)])
def test_remove_is_least_squares(terms, sweeps):
    """By the slow way: every repair written out as one long vector."""
    present, source, push, model, *_, folds = world()
    g = torch.Generator().manual_seed(3)
    prob, weight = model.softmax(-1), torch.rand(len(present), N_OUT, dtype=torch.float64, generator=g) + 0.5
    errors = sample(present, source, push, model, folds, n=10)._replace(expected=prob, push=push)
    rate = torch.randn(len(present), N_OUT, dtype=torch.float64, generator=g)
    one_hot = torch.eye(len(present), dtype=torch.float64)[..., None]
    repairs = [row * x for row in one_hot for x in (prob, prob * push)[: 1 + (terms == 3)]]
    for key in (present, source)[:terms]:
        repairs += [(key == k)[:, None] * torch.eye(N_OUT)[c] * prob for k in key.unique() for c in range(N_OUT)]
    root = weight.flatten().sqrt()
    design = torch.stack(repairs, -1).flatten(0, 1) * root[:, None] * (terms > 0)
    fit = design @ torch.linalg.pinv(design, rtol=1e-9) @ (rate.flatten() * root)
    torch.testing.assert_close(
        remove(rate, errors, weight, terms, sweeps), rate - (fit / root).view_as(rate), atol=1e-5, rtol=1e-4
    )


def tiny_rows(n: int = 60):
    g = torch.Generator().manual_seed(5)
    rows = torch.randint(1, 6, (n, 33), generator=g)  # few tokens, so that contexts come back
    rows[:, 0] = 0
    return rows, torch.arange(n)


def test_residual_and_strongest_source_by_running_the_model():
    model, (rows, _) = models.tiny(1), tiny_rows(3)
    resid, head, place = bug_cost.strongest_source(model, rows[:, :-1])
    logits, cache = model.run_with_cache(rows[:, :-1])
    torch.testing.assert_close(resid @ model.W_U, logits)
    pattern = cache["blocks.0.attn.hook_pattern"]
    for row in range(3):
        for query in range(2, 32):
            best = {}
            for h in range(model.cfg.n_heads):
                for key in range(1, query):
                    logits = model.W_E[rows[row, key]] @ model.W_V[0, h] @ model.W_O[0, h] @ model.W_U
                    best[h, key] = (pattern[row, h, query, key] * logits.std()).item()
            assert max(best, key=best.get) == (head[row, query].item(), place[row, query].item())


def test_tally_by_loops():
    model, (rows, file) = models.tiny(1), tiny_rows()
    errors, _ = tally(model, rows, file, folds=3, least=10)
    _, head, place = bug_cost.strongest_source(model, rows[:, :-1])
    probs = model(rows[:, :-1]).softmax(-1)
    wrong, where = torch.zeros_like(errors.wrong), {}
    for i, (source, present) in enumerate(zip(errors.source.tolist(), errors.present.tolist())):
        where[source, present] = i
    for row in range(len(rows)):
        for query in range(2, 32):
            source = head[row, query].item() * 64 + rows[row, place[row, query]].item()
            context = where.get((source, rows[row, query].item()))
            if context is not None:
                answer = (rows[row, query + 1] == errors.outputs).float() - probs[row, query, errors.outputs]
                wrong[row % 3, context] += torch.cat([answer, -answer.sum()[None]])
    torch.testing.assert_close(errors.wrong, wrong, atol=1e-4, rtol=1e-4)
    assert errors.seen.sum(0).min() >= 10
    assert errors.tokens == 60 * 30


def test_a_model_that_is_the_truth_costs_nothing():
    model, (rows, file) = models.tiny(1), tiny_rows(400)
    real, redrawn = tally(model, rows, file)
    cost, stderr = shared_error(redrawn, 2)
    assert abs(cost) < 4 * stderr
    worse, stderr = shared_error(real)  # the text has tokens 1 to 5 only, and that the model does not know
    assert worse > 100 * abs(cost)
    assert worse > 5 * stderr
    torch.testing.assert_close(redrawn.wrong.sum(-1), torch.zeros_like(redrawn.seen), atol=1e-3, rtol=0)


def test_refuses_what_cannot_be_answered(two_layer):
    rows, file = tiny_rows()
    with pytest.raises(ValueError, match="has 2 layers"):
        unwrap(tally)(two_layer, rows, file)
    with pytest.raises(ValueError, match="no context occurs 99999 times"):
        unwrap(tally)(models.tiny(1), rows, file, least=99999)
    with pytest.raises(ValueError, match="give 3 folds or more, not 2"):
        shared_error(tally(models.tiny(1), rows, file, folds=2, least=10)[0])


def test_file_rows_are_whole_windows_of_one_file_each(one_layer):
    tokenizer = one_layer.tokenizer.backend_tokenizer
    rows, file = bug_cost.file_rows(tokenizer, ["networkx"], files=3, characters=6000)
    texts = [text for _, text in zip(range(3), (text for _, text in corpus.documents(["networkx"])))]
    assert set(file.tolist()) <= {0, 1, 2}
    assert (rows[:, 0] == 0).all()
    for row, number in zip(rows, file):
        assert tokenizer.decode(row[2:-1].tolist()) in texts[number]  # cut tokens at the ends may not be the text's


def test_second_order_is_close_to_kl_and_the_closer_the_smaller_the_error():
    generator = torch.Generator().manual_seed(0)
    q, other = torch.rand(2, 9, generator=generator, dtype=torch.float64).log_softmax(-1).exp()
    off = []
    for size in (0.1, 0.01):
        p = q + size * (other - q)
        kl = (p * (p / q).log()).sum()
        off.append((bug_cost.second_order(p, q) / kl - 1).abs())
    assert off[0] < 0.1
    assert off[1] < 0.2 * off[0]


def test_halves_agree_with_squares_where_they_are_the_same_and_cancel_where_they_are_opposite():
    q, e = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.1, -0.04, -0.06])
    squares = bug_cost.second_order(q + e, q)
    torch.testing.assert_close(bug_cost.shared_by_halves(q + e, q + e, q), squares)
    torch.testing.assert_close(bug_cost.shared_by_halves(q + e, q - e, q), -squares)


def test_what_a_direct_table_mends_is_least_squares():
    """By torch.linalg.lstsq: every entry of the table is an unknown, each error an equation, weighted by its cost."""
    generator = torch.Generator().manual_seed(0)
    expected = torch.rand(7, 3, generator=generator) * 20 + 1
    wrong, destination = torch.randn(7, 3, generator=generator), torch.tensor([0, 1, 0, 2, 1, 0, 1])
    table = torch.zeros(7, 3, 3, 3)
    for context, b in enumerate(destination):
        for out in range(3):
            table[context, out, b, out] = expected[context, out]
    root = (1 / (2 * expected)).sqrt().flatten()
    unknowns, target = table.view(21, 9), wrong.flatten()
    best = torch.linalg.lstsq(root[:, None] * unknowns, (root * target)[:, None]).solution[:, 0]
    torch.testing.assert_close(bug_cost.mend(wrong, expected, destination), (target - unknowns @ best).view(7, 3))


def test_frequent_contexts_are_those_seen_often_and_positions_stay():
    model, (rows, file) = models.tiny(1), tiny_rows()
    errors, _ = tally(model, rows, file, folds=3, least=5)
    often = errors.frequent(12)
    keep = errors.seen.sum(0) >= 12
    assert 0 < len(often.present) == keep.sum() < len(keep)
    assert torch.equal(often.wrong, errors.wrong[:, keep])
    assert torch.equal(often.push, errors.push[keep])
    assert (often.tokens, often.outputs.tolist()) == (errors.tokens, errors.outputs.tolist())
    assert often.seen.sum(0).min() >= 12


def test_contexts_shared_with_others_are_those_of_the_same_head_source_and_destination():
    model, (rows, file) = models.tiny(1), tiny_rows()
    more, _ = tally(model, rows, file, folds=3, least=5)
    some, _ = tally(model, rows[:20], file[:20], folds=3, least=5)
    names = lambda errors: list(zip(errors.source.tolist(), errors.present.tolist()))
    kept = more.shared_with(some)
    assert set(names(kept)) == set(names(more)) & set(names(some))
    assert 0 < len(kept.present) < len(more.present)
    assert torch.equal(kept.seen, more.seen[:, [name in names(some) for name in names(more)]])
