"""A pytest plugin: only what answers at once. Left out are notebooks, browsers, sandboxes, sites, kernels, other programs, long sums."""

SLOW = (
    "notebooks/", "tests/browser/", "tests/homework/", "tests/test_site", "tests/test_nbval", "tests/test_training", "tests/test_doctor",
    "tests/test_any_machine", "tests/test_captions", "tests/test_guess", "tests/test_model_cards", "tests/test_bugs", "tests/test_searches",
    "tests/test_explorers.py::test_in_a_notebook",
)  # fmt: skip


def pytest_collection_modifyitems(config, items):
    slow = [item for item in items if item.nodeid.startswith(SLOW)]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if item not in set(slow)]
