"""Moving a slider draws the head that it names, and replaces the picture."""

import torch

from walkthrough import plots, widgets


def test_the_sliders_choose_the_head_that_is_drawn(monkeypatch):
    drawn, attention = [], plots.attention
    monkeypatch.setattr(plots, "attention", lambda pattern, tokens: drawn.append(pattern) or attention(pattern, tokens))
    patterns = torch.rand(2, 3, 4, 4).softmax(-1)
    layer, head, picture = widgets.attention_browser(patterns, list("abcd")).children
    assert (layer.max, head.max) == (1, 2)
    first = bytes(picture.value)
    assert first.startswith(b"\x89PNG")
    head.value = 2
    layer.value = 1
    assert bytes(picture.value) != first
    for shown, chosen in zip(drawn, (patterns[0, 0], patterns[0, 2], patterns[1, 2]), strict=True):
        assert torch.equal(shown, chosen)
