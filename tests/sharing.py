"""A pytest plugin: how workers share the tests. What costs much to set up is set up once, and what takes long starts first."""

from xdist.scheduler import LoadScopeScheduling

# Tests whose names begin so go to one worker, together: one JupyterLab, one site, one class of thirty.
TOGETHER = {
    "notebooks/": "notebooks", "tests/browser/": "browser", "tests/test_site": "browser",
    "tests/homework/test_course": "course",
}  # fmt: skip


def room(name: str) -> str | None:
    """The room that a test belongs to, by the start of its name."""
    return next((room for start, room in TOGETHER.items() if name.startswith(start)), None)


class ByRoom(LoadScopeScheduling):
    """A module is a unit of work, as in xdist's own, but for those that stay together."""

    def _split_scope(self, nodeid):
        return room(nodeid) or super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config, log):
    return ByRoom(config, log)


def pytest_collection_modifyitems(items):
    rooms = list(dict.fromkeys(TOGETHER.values()))
    items.sort(key=lambda item: rooms.index(found) if (found := room(item.nodeid)) else len(rooms))
