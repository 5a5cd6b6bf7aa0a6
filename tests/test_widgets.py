"""Moving a slider changes the picture, and moving it back restores it."""

import torch

from walkthrough import widgets


def test_the_sliders_choose_the_head_that_is_drawn():
    patterns = torch.rand(2, 3, 4, 4).softmax(-1)
    layer, head, picture = widgets.attention_browser(patterns, list("abcd")).children
    assert (layer.max, head.max) == (1, 2)
    first = bytes(picture.value)
    assert bytes(first).startswith(b"\x89PNG")
    head.value = 2
    second = bytes(picture.value)
    layer.value = 1
    assert len({first, second, bytes(picture.value)}) == 3
    layer.value = head.value = 0
    assert bytes(picture.value) == first
