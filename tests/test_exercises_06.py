"""The checks of notebook 06 accept right answers written in other ways, and name each classic mistake."""


def right_bug(looks, moved, counts):
    found = []
    for source, destination in (counts.sum(2) > 0).nonzero().tolist():
        for out in (counts[source, destination] == 0).nonzero()[:, 0].tolist():
            found.append((float(looks[source, destination] * moved[source, out]), source, destination, out))
    return max(found)[1:]


RIGHT = {"6.1": right_bug}


GENERIC = [
    ("6.1", lambda *case: right_bug(*case)[:2], "wrong shape"),
    ("6.1", lambda f, g, n: f[:, :, None] * g[:, None], "wrong shape"),
    *((label, lambda *case: None, "returned None") for label in RIGHT),
]
