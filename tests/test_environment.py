"""pyproject.toml, environment.yml and constraints.txt say the same."""

import tomllib
from importlib.metadata import version
from itertools import chain
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINS = {
    (pin := Requirement(line)).name.lower().replace("_", "-"): str(pin.specifier).removeprefix("==")
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
}
ASKED = [
    requirement
    for text in [*PROJECT["dependencies"], *chain(*PROJECT["optional-dependencies"].values())]
    if (requirement := Requirement(text)).name != "walkthrough"
]


@pytest.mark.parametrize("asked", ASKED, ids=str)
def test_every_requirement_is_pinned_to_a_version_that_it_allows(asked):
    assert asked.specifier.contains(PINS[asked.name.lower()])


def test_every_pin_is_one_exact_version():
    assert all(pin and not set(pin) & set("<>=!~*,") for pin in PINS.values())


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: asked.name)
def test_what_is_installed_here_is_what_is_pinned(asked):
    assert version(asked.name).partition("+")[0] == PINS[asked.name.lower()]


def test_the_conda_environment_agrees():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    conda = [Requirement(entry) for entry in environment["dependencies"] if isinstance(entry, str)]
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert pip == ["-c constraints.txt", "-e .[course]"]
    assert "course" in PROJECT["optional-dependencies"]
    python = next(requirement for requirement in conda if requirement.name == "python")
    assert str(python.specifier) == PROJECT["requires-python"]


def test_binders_environment_agrees():
    environment = yaml.safe_load((ROOT / ".binder" / "environment.yml").read_text(encoding="utf-8"))
    conda = {
        requirement.name: str(requirement.specifier) for requirement in map(Requirement, environment["dependencies"])
    }
    torch = next(asked for asked in ASKED if asked.name == "torch")
    assert conda == {"python": PROJECT["requires-python"], "pip": "", "pytorch-cpu": str(torch.specifier)}
    assert 'pip install --no-cache-dir -c /tmp/constraints.txt -e ".[course]"' in (
        ROOT / ".binder" / "postBuild"
    ).read_text(encoding="utf-8")
