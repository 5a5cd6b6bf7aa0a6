"""A pytest plugin: only what answers at once. Left out are notebooks, browsers, sandboxes, sites, and other programs."""

SLOW = ("notebooks/", "tests/browser/", "tests/homework/", "tests/test_site", "tests/test_nbval", "tests/test_training")


def pytest_collection_modifyitems(config, items):
    slow = [item for item in items if item.nodeid.startswith(SLOW)]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if item not in set(slow)]
