"""The doctor sees what is there, and what is wrong; and it goes on when a check fails."""

import json
import shutil
import subprocess
import sys

import pytest

from walkthrough import doctor, models


def test_on_this_machine_nothing_is_wrong_and_the_command_runs_anywhere(tmp_path):
    command = [sys.executable, "-m", "walkthrough.doctor"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8", check=False)
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout
    *lines, paragraph = ran.stdout.strip().splitlines()
    for name in (*models.NAMES, *models.SMALL, *models.HOMEWORK, "precision", "sandbox", "kernel", "corpus", "browser"):
        assert any(line.startswith(f"ok    {name} ") for line in lines), name
        assert f" {name}: " in paragraph
    assert f"python3 runs {sys.executable}" in ran.stdout
    assert "All is well. For a bug report, paste this:" in lines


def test_a_home_folder_is_not_told(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "examine", lambda: iter([doctor.Finding("kernel", f"{doctor.Path.home()}/bin/python")]))
    with pytest.raises(SystemExit):
        doctor.main()
    assert "kernel: ~/bin/python." in capsys.readouterr().out.splitlines()[-1]


def test_a_package_that_is_missing_or_of_another_version_is_named_with_what_to_type(monkeypatch):
    real = doctor.installed
    monkeypatch.setattr(doctor, "installed", lambda name: {"einops": None, "anywidget": "0.1"}.get(name, real(name)))
    found = doctor.versions()
    assert not found.fine
    assert "einops is missing; anywidget 0.1 is not <1,>=0.9" in found.said
    assert 'pip install -c constraints.txt -e ".[course]"' in found.said


def test_what_is_not_as_pinned_is_listed(monkeypatch):
    real = doctor.installed
    monkeypatch.setattr(doctor, "installed", lambda name: "9.9" if name == "einops" else real(name))
    assert "as pinned, but for einops 9.9" in doctor.versions().said


def test_a_kernel_of_another_python_is_found(monkeypatch, tmp_path):
    folder = tmp_path / "kernels" / "python3"
    folder.mkdir(parents=True)
    spec = {
        "argv": ["/opt/other/bin/python3", "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "x",
    }
    (folder / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")
    found = doctor.kernel()
    assert not found.fine
    assert "python3 runs /opt/other/bin/python3, not" in found.said
    assert "ipykernel install --sys-prefix --name walkthrough" in found.said


def test_a_damaged_model_is_found(monkeypatch, tmp_path):
    folder = tmp_path / "weights"
    shutil.copytree(models.WEIGHTS, folder)
    file = folder / "small-seed-1.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    load = models.load
    monkeypatch.setattr(models, "load", lambda name: load(name, folder))
    assert not doctor.identities("small-seed-1").fine
    assert "damaged" in doctor.identities("small-seed-1").said
    assert doctor.identities("homework").fine


def test_a_model_whose_paths_do_not_add_up_is_found(monkeypatch):
    model = models.load("one-layer")
    model.W_U.data[0] += 1  # in place of what it was loaded with: the paths are computed from these, the logits too
    monkeypatch.setattr(models, "load", lambda name: model)
    assert doctor.identities("one-layer").fine
    monkeypatch.setattr(doctor.paths, "path_expansion", lambda model, tokens: {"direct": model(tokens) + 1})
    assert not doctor.identities("one-layer").fine


def test_a_check_that_fails_does_not_stop_the_others(monkeypatch):
    def precision():
        return 1 / 0

    monkeypatch.setattr(doctor, "precision", precision)
    found = {finding.what: finding for finding in doctor.examine()}
    assert found["precision"].said == "the check stopped with ZeroDivisionError: division by zero"
    assert not found["precision"].fine
    assert found["two-layer"].fine
