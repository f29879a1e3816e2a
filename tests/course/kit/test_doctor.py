"""`doctor()` and the command line."""

import ast
import html
import importlib
import io
import os
import re
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import minddpm
from minddpm.__main__ import main
from minddpm.course.kit import cores
from minddpm.course.kit import diagnosis as module
from minddpm.course.kit.diagnosis import Diagnosis, Finding, doctor

NAMES = [
    *("Python", "minddpm", "torch", "torchvision", "numpy", "matplotlib", "ipywidgets"),
    *("jupyterlab", "scikit-learn", "tqdm", "safetensors", "device", "threads"),
    *("widgets", "data root", "digits", "training"),
]


def find(name: str) -> Finding:
    (finding,) = (f for f in doctor().findings if f.name == name)
    return finding


@pytest.fixture(scope="module")
def healthy() -> Diagnosis:
    """What the doctor says of the machine that the tests run on."""
    return doctor()


@pytest.fixture(autouse=True)
def _quiet(monkeypatch, tmp_path):
    monkeypatch.setenv("MINDDPM_DATA", str(tmp_path))
    monkeypatch.setenv("MINDDPM_DEVICE", "cpu")
    monkeypatch.setattr(cores, "free", lambda: 99.0)  # what others do is not asked


@pytest.fixture
def versions(monkeypatch):
    """A dict of versions to pretend; None is a package that is not installed."""
    pretended: dict[str, str | None] = {}
    real = metadata.version

    def version(name: str) -> str:
        found = pretended.get(name, "")
        if found is None:
            raise metadata.PackageNotFoundError(name)
        return found or real(name)

    monkeypatch.setattr(metadata, "version", version)
    return pretended


def test_all_is_well_here(healthy):
    assert [finding.name for finding in healthy.findings] == NAMES
    wrong = [finding for finding in healthy.findings if not finding.ok]
    assert not wrong
    assert healthy.ok
    assert healthy.verdict == "✓ This machine is ready for the course."


def test_findings_are_true(healthy):
    found = {finding.name: finding.found for finding in healthy.findings}
    assert found["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    package = os.path.relpath(Path(minddpm.__file__).parent)
    assert re.search(rf"(in|from) (\./)?{re.escape(package)}$", found["minddpm"])
    assert found["Python"] == "{}.{}.{}".format(*sys.version_info[:3])
    assert found["threads"].startswith(f"{torch.get_num_threads()} used")
    assert found["digits"] == "1,442 pictures of 1×8×8"
    assert re.fullmatch(r"one step, \d+\.\d\d s", found["training"])


def test_bounds_are_read_from_the_package():
    bounds = module._bounds()
    assert bounds["torch"] == "2.6"
    assert bounds["scikit-learn"]
    assert "pytest" not in bounds  # only a developer needs it


def test_text_and_html_say_the_same():
    sick = Diagnosis(
        (
            Finding("a", True, "1 < 2"),
            Finding("b", False, "no", "do it"),
            Finding("c", True, "slow", "a > b"),
        )
    )
    assert not sick.ok
    assert (
        str(sick)
        == repr(sick)
        == (
            "✓ a             1 < 2\n"
            "✗ b             no\n"
            "                → do it\n"
            "~ c             slow\n"
            "                → a > b\n"
            "✗ 1 to mend: b."
        )
    )
    page = sick._repr_html_()
    assert "1 &lt; 2" in page
    shown = html.unescape(re.sub(r"<[^>]*>", " ", page))
    assert shown.split() == str(sick).split()


@pytest.mark.parametrize("name", NAMES[2:11])
def test_missing_package(versions, name):
    versions[name] = None
    finding = find(name)
    assert not finding.ok
    assert finding.found == "missing"
    assert re.fullmatch(rf'python -m pip install "{name}>=[\d.]+"', finding.cure)


@pytest.mark.parametrize(
    ("name", "version", "ok"),
    [
        ("torch", "2.5.1+cu121", False),
        ("torch", "2.6.0+cpu", True),
        ("torch", "2.15.0a0", True),
        ("matplotlib", "3.7.9", False),
        ("matplotlib", "3.10", True),
        ("ipywidgets", "7.7.0", False),
    ],
)
def test_old_package(versions, name, version, ok):
    versions[name] = version
    finding = find(name)
    assert finding.ok == ok
    if not ok:
        assert finding.found.startswith(f"{version}, older than")
        assert f'pip install "{name}>=' in finding.cure


def test_package_that_cannot_be_imported(monkeypatch):
    real = importlib.import_module

    def broken(name, *args):
        if name == "torchvision":
            raise RuntimeError("operator torchvision::nms does not exist\nat line 1")
        return real(name, *args)

    monkeypatch.setattr(importlib, "import_module", broken)
    finding = find("torchvision")
    assert not finding.ok
    assert "operator torchvision::nms does not exist" in finding.found
    assert "\n" not in finding.found
    assert finding.cure == "python -m pip install --force-reinstall torchvision torch"


def test_works_with_nothing_but_torch():
    """In a process that can import none of the others and knows no bounds."""
    code = """
import sys
import tempfile
from importlib import metadata

def nothing(name):
    raise metadata.PackageNotFoundError(name)

for name in ("matplotlib", "ipywidgets", "jupyterlab", "sklearn", "tqdm",
             "safetensors", "torchvision"):
    sys.modules[name] = None
metadata.requires = metadata.metadata = nothing
from minddpm.course.kit.diagnosis import doctor
sys.stdout.reconfigure(encoding="utf-8")
print(doctor())
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    for name in ("matplotlib", "scikit-learn", "tqdm", "torchvision", "digits"):
        assert f"✗ {name}" in done.stdout
    assert "✓ training" in done.stdout
    assert "✗ 7 to mend:" in done.stdout


def test_widgets_in_a_terminal(versions):
    versions["ipywidgets"] = "8.1.9"
    assert find("widgets").found == "ipywidgets 8, but no notebook here to show them"


def test_widgets_in_jupyter(versions, monkeypatch):
    class Shell:
        kernel = object()

    versions["ipywidgets"] = "8.1.9"
    ipython = SimpleNamespace(get_ipython=Shell)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    assert find("widgets") == ("widgets", True, "ipywidgets 8 in Jupyter", "")


def test_colab(versions, monkeypatch):
    monkeypatch.setitem(sys.modules, "google.colab", SimpleNamespace())
    versions.update(ipywidgets="7.7.1", jupyterlab=None)
    diagnosis = doctor()
    assert diagnosis.ok
    assert "ipywidgets 7 in Colab" in str(diagnosis)
    assert "missing, and not needed in Colab" in str(diagnosis)


def test_colab_with_the_wrong_widgets(versions, monkeypatch):
    monkeypatch.setitem(sys.modules, "google.colab", SimpleNamespace())
    versions["ipywidgets"] = "8.1.9"
    finding = find("widgets")
    assert not finding.ok
    assert finding.found == "Colab cannot draw ipywidgets 8"
    assert finding.cure == '%pip install "ipywidgets==7.7.1", then restart the kernel'


def test_widgets_missing(versions):
    versions["ipywidgets"] = None
    finding = find("widgets")
    assert not finding.ok
    assert finding.cure == '%pip install "ipywidgets>=7.7.1", then restart the kernel'


def test_unknown_device(monkeypatch):
    monkeypatch.setenv("MINDDPM_DEVICE", "abacus")
    for name in ("device", "training"):
        finding = find(name)
        assert not finding.ok
        assert "'abacus'" in finding.found
        assert "MINDDPM_DEVICE=cpu" in finding.cure
        assert len(finding.found) <= 120


def test_data_root(monkeypatch, tmp_path):
    assert find("data root").found == os.path.relpath(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path.parent))
    assert find("data root").found == f"~/{tmp_path.name}"
    monkeypatch.setenv("MINDDPM_DATA", str(tmp_path / "new" / "one"))
    assert find("data root").ok
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MINDDPM_DATA", str(tmp_path / "file" / "new"))
    finding = find("data root")
    assert not finding.ok
    assert finding.cure == "set MINDDPM_DATA to a folder that you may write to"


@pytest.mark.parametrize(
    ("threads", "free", "found", "cure"),
    [
        (2, 1.6, "2 used by PyTorch, 2 cores", ""),
        (2, 1.2, "2 used by PyTorch, 2 cores, of which 1.2 free", "set_num_threads(1)"),
        (1, 0.6, "1 used by PyTorch, 2 cores", ""),
        (1, 0.2, "1 used by PyTorch, 2 cores, of which 0.2 free", "end other"),
    ],
)
def test_shared_cores_are_no_fault_but_come_with_advice(
    monkeypatch, threads, free, found, cure
):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(cores, "usable", lambda: 2)
    monkeypatch.setattr(cores, "free", lambda: free)
    finding = find("threads")
    assert (finding.ok, finding.found) == (True, found)
    assert cure in finding.cure
    assert finding.sign == ("~" if cure else "✓")


def test_a_part_of_a_core(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    monkeypatch.setattr(cores, "usable", lambda: 1)
    assert find("threads").found == "1 used by PyTorch, 1 core"
    monkeypatch.setattr(cores, "usable", lambda: 1.5)
    assert find("threads").found == "1 used by PyTorch, 1.5 cores"


@pytest.mark.skipif(sys.platform == "win32", reason="homes are found otherwise there")
def test_a_user_whom_nobody_knows(monkeypatch):
    """Without HOME and a line in the system's list of users, as in some containers."""
    import pwd

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: pwd.getpwnam("no such user"))
    assert doctor().ok
    monkeypatch.delenv("MINDDPM_DATA")
    finding = find("data root")
    assert not finding.ok
    assert "MINDDPM_DATA" in finding.cure


def test_no_room_for_temporary_files(monkeypatch):
    def nowhere():
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    finding = find("TMPDIR")
    assert not finding.ok
    assert finding.cure == "set TMPDIR to a folder that you may write to"


def test_training_that_learns_nothing(monkeypatch):
    monkeypatch.setattr(torch.optim.SGD, "step", lambda self: None)
    finding = find("training")
    assert not finding.ok
    assert "left the weights as they were" in finding.found


def test_random_state_is_kept():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    doctor()
    assert torch.equal(torch.get_rng_state(), before)


def test_command_line(capsys):
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out.endswith("ready for the course.\n")


def test_command_line_of_a_sick_machine(capsys, versions):
    versions["tqdm"] = None
    assert main(["doctor"]) == 1
    assert capsys.readouterr().out.endswith("✗ 1 to mend: tqdm.\n")


def test_version(capsys, versions):
    for version, says in (("1.2.3", "minddpm 1.2.3\n"), (None, "not installed\n")):
        versions["minddpm"] = version
        with pytest.raises(SystemExit, match="0"):
            main(["--version"])
        assert capsys.readouterr().out.endswith(says)


@pytest.mark.parametrize("argv", [[], ["cure"], ["doctor", "--now"]])
def test_wrong_arguments(argv, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(argv)
    assert "usage: minddpm" in capsys.readouterr().err


def test_console_that_knows_ascii_only(monkeypatch):
    monkeypatch.setenv("MINDDPM_DEVICE", "abacus")
    monkeypatch.setattr(cores, "free", lambda: 0.1)
    console = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    monkeypatch.setattr(sys, "stdout", console)
    assert main(["doctor"]) == 1
    lines = console.buffer.getvalue().decode().splitlines()
    signs = {line[2:16].strip(): line[0] for line in lines}
    said = [signs[name] for name in ("digits", "threads", "training")]
    assert "?" not in said
    assert len(set(said)) == 3  # well, advice, to mend: told apart


def test_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "minddpm", "--version"], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert done.stdout.startswith("minddpm ")


def test_help_needs_nothing_heavy():
    """The command line itself imports nothing but the standard library."""
    source = Path(sys.modules["minddpm.__main__"].__file__).read_text(encoding="utf-8")
    top = ast.parse(source).body
    names = {node.module for node in top if isinstance(node, ast.ImportFrom)}
    names |= {
        a.name for node in top if isinstance(node, ast.Import) for a in node.names
    }
    assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names
