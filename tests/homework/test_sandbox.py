"""A worker that was forked and moved into its box sees, and may do, what a fresh Python started in one does."""

import fcntl
import os

import pytest
import torch

from walkthrough.homework import nursery, sandbox
from walkthrough.homework.sandbox import Gone, Sandbox

pytestmark = pytest.mark.usefixtures("box")
LOOK = """
import os, resource, sys
told = dict(line.split(':', 1) for line in open('/proc/self/status').read().splitlines())
def looked():
    return {
        'privileges': [told[name].strip() for name in ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb', 'NoNewPrivs')],
        'places': sorted(os.listdir('/')), 'here': os.getcwd(), 'scratch': [name for name in os.listdir('/scratch') if not name.startswith(('fontlist', '.cache'))],
        'path': sys.path, 'network': os.listdir('/sys/class/net') if os.path.exists('/sys') else open('/proc/net/dev').read().count(':'),
        'files': len(os.listdir('/proc/self/fd')), 'alone in its session': os.getsid(0) == os.getpid() or os.getsid(0) == 1,
        'limits': [list(resource.getrlimit(kind)) for kind in (resource.RLIMIT_AS, resource.RLIMIT_NPROC, resource.RLIMIT_CORE, resource.RLIMIT_FSIZE)],
        'spaces': [os.readlink(f'/proc/self/ns/{kind}') == os.readlink(f'/proc/1/ns/{kind}') for kind in sorted(os.listdir('/proc/self/ns'))],
        'environment': {name: value for name, value in os.environ.items() if not name.startswith(('PWD', 'TORCHINDUCTOR'))},
    }
"""


@pytest.fixture
def start():
    """Starts a worker, forked or fresh; afterwards all are closed."""
    started = []

    def make(fresh=False):
        with pytest.MonkeyPatch.context() as patch:
            if fresh:
                patch.setattr(sandbox.WORKERS, "refused", True)
            started.append(Sandbox())
        return started[-1]

    yield make
    for box in started:
        box.close()


def seen(box, name="looked"):
    assert box.ask({"cell": LOOK}, 30.0)["outputs"] == []
    return box.ask({"call": name, "inputs": []}, 30.0)["value"]


def test_forked_or_fresh_it_is_the_same_empty_machine(start):
    forked, fresh = seen(start()), seen(start(fresh=True))
    if sandbox.WORKERS.refused:
        pytest.skip("this system lets no process join a box: every worker is a fresh one")
    assert forked == fresh
    assert set(forked["privileges"]) == {"0000000000000000", "1"}
    assert all(forked["spaces"])


def test_what_a_forked_worker_was_started_from_is_a_copy_that_nobody_can_write_to(start):
    look = "import fcntl, os\ndef exe():\n    with open('/proc/self/exe', 'rb') as program:\n        return [os.readlink('/proc/self/exe'), fcntl.fcntl(program, fcntl.F_GET_SEALS)]"
    box = start()
    if sandbox.WORKERS.refused:
        pytest.skip("this system lets no process join a box: every worker is a fresh one, under a read-only mount")
    assert box.ask({"cell": look}, 30.0)["outputs"] == []
    place, seals = box.ask({"call": "exe", "inputs": []}, 30.0)["value"]
    assert place.startswith("/memfd:")
    assert seals == fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def test_a_box_is_not_another_ones(start):
    first, second = start(), start()
    spaces = "def mine():\n    import os\n    return [os.readlink(f'/proc/self/ns/{k}') for k in ('mnt', 'pid', 'net', 'ipc', 'uts')]"
    where = []
    for box in (first, second):
        assert box.ask({"cell": spaces + "\nopen('/scratch/mine', 'x').close()\nopen('/tmp/mine', 'x').close()"}, 30.0)["outputs"] == []  # fmt: skip
        where.append(box.ask({"call": "mine", "inputs": []}, 30.0)["value"])
    assert not set(where[0]) & set(where[1])
    assert not set(where[0]) & {os.readlink(f"/proc/self/ns/{kind}") for kind in ("mnt", "pid", "net", "ipc", "uts")}


LEAVE = """
import builtins, json, os, sys, numpy, torch, walkthrough, matplotlib.pyplot as plt
from walkthrough import models
builtins.left = json.left = walkthrough.left = torch.left = models.left = sys.left = get_ipython().left = 1
models.load = torch.allclose = print
os.environ['LEFT'] = '1'
torch.set_default_dtype(torch.float64); torch.manual_seed(0); numpy.random.seed(0)
plt.rcParams['lines.linewidth'] = 99.0
sys.path.insert(0, '/tmp'); sys.modules['left'] = json
for folder in ('/scratch', '/tmp', '/dev/shm'):
    open(folder + '/left', 'x').close()
get_ipython().user_ns['left'] = 1
"""
FIND = """
def found():
    import builtins, json, os, sys, torch, walkthrough, matplotlib.pyplot as plt
    from walkthrough import models
    places = (builtins, json, walkthrough, torch, models, sys, get_ipython())
    return [
        sum(hasattr(place, 'left') for place in places), print in (models.load, torch.allclose), 'LEFT' in os.environ,
        torch.get_default_dtype() == torch.float64, plt.rcParams['lines.linewidth'] > 9, '/tmp' in sys.path, 'left' in sys.modules,
        sum(os.path.exists(folder + '/left') for folder in ('/scratch', '/tmp', '/dev/shm')), 'left' in globals(),
    ]
"""


def test_nothing_that_one_submission_leaves_is_found_by_the_next(start):
    first = start()
    assert first.ask({"cell": LEAVE}, 30.0)["stopped"] is None
    assert first.ask({"cell": FIND}, 30.0)["stopped"] is None
    assert first.ask({"call": "found", "inputs": []}, 30.0)["value"] == [7, True, True, True, True, True, True, 3, True]
    beside = start()
    first.close()
    behind = start()
    for box in (beside, behind):
        assert box.ask({"cell": FIND}, 30.0)["stopped"] is None
        assert box.ask({"call": "found", "inputs": []}, 30.0)["value"] == [0, *[False] * 6, 0, False]


LOADS = """
import torch
from walkthrough import models
torch.manual_seed(7)
def loads(name):
    model = models.load(name)
    tokens = torch.arange(20)[None]
    return [model.W_U[:3, :5], model(tokens)[0, :, :9], torch.rand(3), torch.randn(20), any(point.has_hooks() for point in model.hook_dict.values())]
def spoil(name):
    model = models.load(name)
    for weight in model.parameters():
        weight.zero_()
    model.add_hook("hook_embed", lambda value, hook: value * 0)
    model.tokenizer.add_tokens(["spoilt"])
    return len(model.tokenizer), len(models.load_tokenizer())
"""
MODELS = (
    "zero-layer",
    "one-layer",
    "two-layer",
    "small-seed-1",
    "small-seed-2",
    "homework",
    "layernorm",
)  # one is not ready


def test_a_forked_worker_loads_models_and_draws_numbers_as_a_fresh_one_and_spoils_its_own_alone(start):
    def loaded(box, name):
        return box.ask({"call": "loads", "inputs": [name]}, 30.0)["value"]

    vandal, beside, fresh = start(), start(), start(fresh=True)
    for box in (vandal, beside, fresh):
        assert box.ask({"cell": LOADS}, 30.0)["stopped"] is None
    for name in MODELS:
        spoilt, others = vandal.ask({"call": "spoil", "inputs": [name]}, 30.0)["value"]
        assert spoilt == others + 1
    behind = start()
    assert behind.ask({"cell": LOADS}, 30.0)["stopped"] is None
    for name in [*MODELS, "one-layer"]:
        wanted = loaded(fresh, name)
        assert wanted[0].any()
        assert not wanted[-1]
        for box in (beside, behind):
            torch.testing.assert_close(loaded(box, name), wanted, rtol=0, atol=0)
    torch.testing.assert_close(loaded(vandal, "one-layer")[:2], loaded(fresh, "one-layer")[:2], rtol=0, atol=0)


GREED = """
import os, resource, time
def memory():
    try:
        return len(bytearray(7 * 2**30))
    except MemoryError:
        return "no memory"
def processes():
    children = []
    try:
        for _ in range(70):
            child = os.fork()
            if child == 0:
                time.sleep(60); os._exit(0)
            children.append(child)
    except BlockingIOError:
        return len(children)
    finally:
        for child in children:
            os.kill(child, 9); os.waitpid(child, 0)
    return len(children)
def more():
    refused = []
    for kind in (resource.RLIMIT_AS, resource.RLIMIT_NPROC):
        try:
            resource.setrlimit(kind, (resource.RLIM_INFINITY,) * 2)
        except (ValueError, OSError):
            refused.append(kind)
    return len(refused)
"""


def test_the_limits_hold_in_a_forked_worker(start):
    box = start()
    assert box.ask({"cell": GREED}, 30.0)["stopped"] is None
    assert box.ask({"call": "memory", "inputs": []}, 30.0) == {"value": "no memory"}
    started = box.ask({"call": "processes", "inputs": []}, 30.0)["value"]
    assert (
        started < sandbox.PROCESSES or os.getuid() == 0
    )  # Linux counts nobody's processes who is root outside the box
    assert box.ask({"call": "more", "inputs": []}, 30.0) == {"value": 2}


@pytest.mark.parametrize("signal", ["os.killpg(0, 9)", "os.kill(-1, 9)", "os.kill(os.getppid() or 1, 9); os._exit(0)"])
def test_who_kills_everybody_kills_themselves(start, signal):
    victim, killer = start(), start()
    assert victim.ask({"cell": "kept = 7"}, 30.0)["outputs"] == []
    with pytest.raises(Gone):
        killer.ask({"cell": f"import os\n{signal}\nwhile True: pass"}, 2.0)
    assert victim.ask({"name": "kept"}, 30.0) == {"value": 7}
    refused = sandbox.WORKERS.refused
    assert start().ask({"cell": "one = 1"}, 30.0)["outputs"] == []
    assert sandbox.WORKERS.refused == refused


def test_random_numbers_differ_from_fork_to_fork(start):
    draw = "import random, numpy\ndef drawn():\n    return [random.random(), float(numpy.random.rand())]"
    drawn = []
    for box in (start(), start()):
        box.ask({"cell": draw}, 30.0)
        drawn += box.ask({"call": "drawn", "inputs": []}, 30.0)["value"]
    assert len(set(drawn)) == 4


def test_where_no_process_may_join_a_box_every_worker_is_a_fresh_one(start, monkeypatch):
    monkeypatch.setattr(sandbox.WORKERS, "refused", False)
    monkeypatch.setattr(nursery, "SPACES", {"mnt": 0x7F000000})  # no such flag: the kernel says no
    box = start()
    assert sandbox.WORKERS.refused
    assert box.ask({"cell": "answer = 5"}, 30.0)["outputs"] == []
    assert box.ask({"name": "answer"}, 30.0) == {"value": 5}
