"""`--short` runs each benchmark with as few rounds as show that it works: what CI does, where times mean nothing."""

import pytest


def pytest_addoption(parser):
    parser.addoption("--short", action="store_true", help="a single round of each benchmark, on the smallest sizes")


@pytest.fixture(scope="session")
def short(request):
    """Whether only to show that the benchmarks work."""
    return request.config.getoption("--short")


@pytest.fixture(scope="session")
def rounds(short):
    """How many rounds to run of those that a full benchmark would."""
    return lambda full: 1 if short else full
