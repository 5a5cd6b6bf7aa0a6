"""How soon an explorer answers, at 256 tokens and 8 heads: medians, beside what the same page or model does anyway.

In the page a gesture is set against a frame in which nothing is asked; in the kernel, against a run of the model.
"""

import json
import statistics
from time import perf_counter

import pytest
import torch

from walkthrough import attribution, models, widgets

LONG = " value = other\n    if x" * 42
TIMING = """async rounds => {
    const frame = () => new Promise(requestAnimationFrame), took = {'no gesture': []}
    const all = (selector) => [...document.querySelectorAll(selector)]
    const enter = (element) => element.dispatchEvent(new MouseEvent('mouseenter'))
    const put = (element, value, event) => { element.value = value; element.dispatchEvent(new Event(event)) }
    const time = async (kind, act) => {
        await frame()
        const start = performance.now()
        act(); await null; document.body.offsetHeight
        await frame(); (took[kind] ??= []).push(performance.now() - start)
    }
    for (let i = 0; i < rounds; i++) {
        await time('no gesture', () => {})
        GESTURES
    }
    return took
}"""
GESTURES = {
    "Attention": """
        await time('hover', () => enter(all('.wt-token')[200 + i]))
        await time('head', () => all('.wt-head')[i % 8].click())
        await time('weighted', () => all('.wt-weighted')[0].click())""",
    "Circuit": """
        await time('token', () => all('.wt-token')[200 + i].click())
        await time('typing', () => put(all('.wt-typed')[0], ['e', 'el', 'els', 'else', '\\\\n'][i % 5], 'input'))
        await time('head', () => all('.wt-title')[i % 8].click())
        await time('layer', () => put(all('.wt-layer')[0], i % 2, 'change'))""",
    "Composition": """
        await time('head', () => enter(all('.wt-node')[i]))
        await time('edge', () => enter(all('.wt-edges button')[i]))
        await time('circuit', () => all('.wt-edges button')[i].click())
        await time('token', () => enter(all('.wt-circuit .wt-token')[200 + i]))
        await time('threshold', () => put(all('.wt-least')[0], 1 + (i % 2) * 0.1, 'input'))""",
    "Logit": """
        for (const rows of ['', ', all 81']) {
            await time('hover' + rows, () => enter(all('.wt-token').at(-1 - i % 2)))
            await time('hover, not stored' + rows, () => enter(all('.wt-token')[150 + i]))
            enter(all('.wt-token').at(-1))
            await time('prediction' + rows, () => all('.wt-guess')[i % 5].click())
            await time('bar' + rows, () => all('.wt-bar')[i % 12].click())
            await time('above' + rows, () => all('.wt-above')[0].click())
            await time('show all', () => all('.wt-all')[0].click())
        }""",
}


@pytest.fixture(scope="module")
def model():
    return models.load("two-layer")


def explorer(kind, model):
    """The explorer of a long prompt, with all that its page may be asked for already in it."""
    made = getattr(widgets, f"{kind}Explorer")(model, LONG)
    if kind == "Composition":
        made.data["prompts"][LONG]["edges"] = {edge: made.grid(edge, LONG) for edge in made.edges}
    return made, made.page().replace(json.dumps(made.packed), json.dumps(widgets.explorer.pack(made.data)))


@pytest.mark.parametrize("kind", GESTURES)
def test_gestures_in_the_page(page, model, tmp_path, kind, rounds):
    _, html = explorer(kind, model)
    (tmp_path / "long.html").write_text(f'<!doctype html><meta charset="utf-8">{html}', encoding="utf-8")
    page.goto((tmp_path / "long.html").as_uri())
    page.wait_for_selector(".wt-token >> nth=250")
    took = page.evaluate(TIMING.replace("GESTURES", GESTURES[kind]), rounds(15))
    idle = statistics.median(took["no gesture"])
    for gesture, times in took.items():
        median = statistics.median(times)
        print(f"\n{kind}, {gesture}: median {median:.0f} ms, {median / idle:.1f} times a frame without one", end="")
    print()


def milliseconds(ask, rounds):
    """The median time of a call."""
    took = []
    for i in range(rounds):
        start = perf_counter()
        ask(i)
        took.append(1000 * (perf_counter() - start))
    return statistics.median(took)


def test_questions_to_the_kernel(model, rounds):
    ids = model.to_tokens(LONG)
    _, cache = model.run_with_cache(ids)
    patterns, readout = torch.stack([cache["pattern", layer][0] for layer in (0, 1)]), model.W_U[:, :7]
    logit, circuit = widgets.LogitExplorer(model, "x"), widgets.CircuitExplorer(model, "x")
    tokens = [" for", " in", "(", "):", ".", " if", " return", "=", " class"]
    split = lambda _: attribution.path_sources(
        cache["hook_embed"][0], patterns, model.W_V, model.W_O, readout, ids.shape[1] - 1
    )
    asked = {
        "a run of the model": lambda _: model.run_with_cache(ids),
        "81 paths to 7 targets, split by source": split,
        "logit explorer: another prompt": lambda i: logit.answer({"prompt": LONG[: len(LONG) - i]}),
        "logit explorer: another position": lambda i: logit.answer({"prompt": LONG, "position": 200 + i}),
        "circuit explorer: another token": lambda i: circuit.answer({"token": tokens[i]}),
    }
    times = {what: milliseconds(ask, rounds(9)) for what, ask in asked.items()}
    for what, median in times.items():
        print(f"\n{what}: median {median:.1f} ms, {median / times['a run of the model']:.1f} times a run", end="")
    print()
