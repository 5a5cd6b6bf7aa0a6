"""`python -m walkthrough.doctor`: what this machine has and lacks, in seconds and without a network.

It ends with one paragraph to paste into a bug report. Its exit status is 1 if something that the course needs is wrong.
"""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from packaging.requirements import Requirement

from walkthrough import corpus, models, paths
from walkthrough.beyond import released_store
from walkthrough.training.precision import speedup_of_bfloat16

ROOT = Path(__file__).parents[1]
EXTRAS = {"course": "the notebooks", "homework": "grading", "site": "the site", "test": "the tests"}


@dataclass(frozen=True)
class Finding:
    """`what` was looked at, what there is to say of it, and whether the course can be followed as it is."""

    what: str
    said: str
    fine: bool = True


def python() -> Finding:
    """The interpreter, the system, the processor cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Finding(
        "machine",
        f"Python {platform.python_version()}, {platform.system()} {platform.release()} on {platform.machine()}, "
        f"{cores} cores, {torch.get_num_threads()} of them for torch",
    )


def installed(name: str) -> str | None:
    """The version of a distribution, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def required(extra: str = "") -> Iterator[Requirement]:
    """What the course itself asks for, or one of its extras besides."""
    for text in importlib.metadata.requires("walkthrough") or []:
        requirement = Requirement(text)
        belongs = "extra" in str(requirement.marker) if requirement.marker else False
        wanted = requirement.marker.evaluate({"extra": extra}) if requirement.marker else True
        if wanted and belongs == bool(extra) and requirement.name != "walkthrough":
            yield requirement


def versions() -> Finding:
    """What is missing or out of range, and what is not the version that the stored outputs were made with."""
    wrong = []
    for extra in ("", "course"):
        for requirement in required(extra):
            version = installed(requirement.name)
            if version is None:
                wrong.append(f"{requirement.name} is missing")
            elif not requirement.specifier.contains(version, prereleases=True):
                wrong.append(f"{requirement.name} {version} is not {requirement.specifier}")
    said = [f"torch {torch.__version__}", *(f"{name} {installed(name)}" for name in ("transformer-lens", "jupyterlab"))]
    if wrong:
        remedy = 'python -m pip install -c constraints.txt -e ".[course]"'
        return Finding("versions", f"{', '.join(said)}; {'; '.join(wrong)}: {remedy}", fine=False)
    return Finding("versions", f"{', '.join(said)}; {against_the_pins()}")


def against_the_pins() -> str:
    """How far what is installed is from constraints.txt, which a wheel does not hold."""
    file = ROOT / "constraints.txt"
    if not file.exists():
        return "no constraints.txt here to compare with"
    pins = dict(line.split("==") for line in file.read_text(encoding="utf-8").splitlines() if "==" in line)
    found = {name: installed(name) for name in pins}
    other = [f"{name} {found[name]}" for name in pins if found[name] and found[name].partition("+")[0] != pins[name]]
    shown = ", ".join(other[:8]) + (f" and {len(other) - 8} more" if len(other) > 8 else "")
    return f"as pinned, but for {shown}" if other else "all as pinned"


def extras() -> Finding:
    """Which of the optional parts could be used."""
    lacks = {extra: [r.name for r in required(extra) if installed(r.name) is None] for extra in EXTRAS}
    can = [purpose for extra, purpose in EXTRAS.items() if not lacks[extra]]
    cannot = [f"{purpose} ({', '.join(lacks[extra][:3])})" for extra, purpose in EXTRAS.items() if lacks[extra]]
    return Finding("extras", f"there for {', '.join(can) or 'none'}; missing for {', '.join(cannot) or 'none'}")


def precision() -> Finding:
    """Float32 against bfloat16 in products of matrices: which the trainer takes."""
    ratio = speedup_of_bfloat16()
    taken = "bfloat16" if ratio > 1 else "float32"
    gpu = (
        f"; a GPU is visible ({torch.cuda.get_device_name()}), which only training uses"
        if torch.cuda.is_available()
        else ""
    )
    return Finding("precision", f"bfloat16 is {ratio:.2g} times as fast as float32: the trainer takes {taken}{gpu}")


def sandbox() -> Finding:
    """Whether homework can be graded."""
    if importlib.util.find_spec("nbgrader") is None:
        return Finding("sandbox", "homework cannot be graded here: nbgrader is not installed")
    from walkthrough.homework.sandbox import WORKERS, Sandbox

    try:
        box = Sandbox()
    except RuntimeError as error:
        return Finding("sandbox", f"homework cannot be graded here: {error}")
    box.close()
    return Finding(
        "sandbox", "works" + (", but each submission has to start its own Python" if WORKERS.refused else "")
    )


def browser() -> Finding:
    """Whether the browser tests can run."""
    path = os.environ.get("WALKTHROUGH_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    driver = importlib.util.find_spec("playwright")
    said = {
        (True, True): f"{path}",
        (True, False): "no Chromium for the tests",
        (False, True): "no playwright for the tests",
    }
    return Finding(
        "browser", said.get((driver is not None, path is not None), "neither Chromium nor playwright for the tests")
    )


def training_text() -> Finding:
    """Whether the packages are there that the corpus is made of."""
    missing = [name for name in (*corpus.TRAINING, *corpus.HELD_OUT)
               if name != corpus.STDLIB and importlib.util.find_spec(name) is None]  # fmt: skip
    return Finding("corpus", f"to train, install {', '.join(missing)}" if missing else "all its packages are there")


def kernel() -> Finding:
    """Which Python JupyterLab would run a notebook with."""
    try:
        from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
    except ModuleNotFoundError:
        return Finding("kernel", "Jupyter is not installed", fine=False)
    remedy = "python -m ipykernel install --sys-prefix --name walkthrough, then Kernel > Change Kernel > walkthrough"
    try:
        program = KernelSpecManager().get_kernel_spec("python3").argv[0]
    except NoSuchKernel:
        return Finding("kernel", f"there is no python3 kernel: {remedy}", fine=False)
    major, minor = sys.version_info[:2]
    if program in ("python", f"python{major}", f"python{major}.{minor}"):
        program = sys.executable  # as Jupyter does, which is then run by this Python, too
    found = shutil.which(program) or program
    if Path(found).parent.resolve() == Path(sys.executable).parent.resolve():
        return Finding("kernel", f"python3 runs {found}")
    return Finding("kernel", f"python3 runs {found}, not {sys.executable}: {remedy}", fine=False)


def widgets() -> Finding:
    """Whether a JupyterLab started here can show the explorers alive."""
    missing = [name for name in ("anywidget", "ipywidgets", "jupyterlab-widgets") if installed(name) is None]
    if missing:
        return Finding("widgets", f"{', '.join(missing)} missing: explorers are still pictures", fine=False)
    return Finding("widgets", f"anywidget {installed('anywidget')}, ipywidgets {installed('ipywidgets')}")


def released() -> Finding:
    """Whether SmolLM2 is there, which is optional."""
    try:
        _, source = released_store.packaged()
    except ValueError as error:
        return Finding("released model", str(error))
    if released_store.place_of(source).exists():
        return Finding("released model", f"SmolLM2 is installed, and unpacked in {released_store.place_of(source)}")
    if importlib.util.find_spec("gguf") is None:
        return Finding("released model", f"SmolLM2 is installed, but not gguf: {released_store.INSTALL}")
    return Finding("released model", "SmolLM2 is installed; it is unpacked when it is first loaded")


def identities(name: str) -> Finding:
    """A shipped model: its weights are those of its card, and its logits are the sum of its paths.

    Models with LayerNorm or an MLP have other paths (`walkthrough.beyond`): of those, the weights only.
    """
    try:
        model = models.load(name)
    except ValueError as error:
        return Finding(name, str(error), fine=False)
    tokens = model.to_tokens("for key in keys:\n    print(key)")
    if name in models.BEYOND:
        return Finding(name, "its weights are those of its card", fine=model(tokens).isfinite().all().item())
    off = (sum(paths.path_expansion(model, tokens).values()) - model(tokens)).abs().max().item()
    return Finding(name, f"its paths add up to its logits within {off:.0e}", fine=off < 1e-3)


def examine() -> Iterator[Finding]:
    """All findings, one after the other; a check that fails says so, and the next goes on."""
    checks: list[tuple[str, Callable[[], Finding]]] = [
        (check.__name__, check)
        for check in (python, versions, extras, precision, kernel, widgets, sandbox, browser, training_text, released)
    ]
    names = sorted(card.stem for card in models.WEIGHTS.glob("*.json") if card.stem != "tokenizer")
    checks += [(name, lambda name=name: identities(name)) for name in names]
    for what, check in checks:
        try:
            yield check()
        except Exception as error:
            yield Finding(what, f"the check stopped with {type(error).__name__}: {error}", fine=False)


def commit() -> str:
    """The version of the course: a commit where there is one."""
    ran = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True,
                         encoding="utf-8", check=False) if shutil.which("git") else None  # fmt: skip
    known = ran is not None and ran.returncode == 0
    return f"walkthrough {installed('walkthrough')}" + (f" at {ran.stdout.strip()}" if known else "")


def main() -> None:
    """Print each finding as it is made, and then all of them as one paragraph."""
    sys.stdout.reconfigure(errors="replace")
    findings = []
    for finding in examine():
        findings.append(finding)
        print(f"{'ok   ' if finding.fine else 'WRONG'} {finding.what:14} {finding.said}", flush=True)
    wrong = [finding.what for finding in findings if not finding.fine]
    print(f"\n{'Wrong: ' + ', '.join(wrong) if wrong else 'All is well'}. For a bug report, paste this:\n")
    home = str(Path.home())
    told = " ".join(f"{'' if f.fine else '(!) '}{f.what}: {f.said}." for f in findings).replace(home, "~")
    print(f"{commit()}. {told}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
