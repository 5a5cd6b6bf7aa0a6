"""The shipped models. The package is imported late, so that jaxtyping's hook is in place to check its annotations."""

import os

import pytest
import torch

os.environ["HF_HUB_OFFLINE"] = "1"
torch.set_num_threads(1)


def shipped(name):
    from walkthrough import models

    return models.load(name)


@pytest.fixture(scope="session")
def two_layer():
    return shipped("two-layer")


@pytest.fixture(scope="session")
def one_layer():
    return shipped("one-layer")


@pytest.fixture(scope="session")
def zero_layer():
    return shipped("zero-layer")
