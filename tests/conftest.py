import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
import pytest
import torch

from walkthrough import models

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def two_layer():
    return models.load("two-layer")


@pytest.fixture(scope="session")
def one_layer():
    return models.load("one-layer")


@pytest.fixture(scope="session")
def zero_layer():
    return models.load("zero-layer")
