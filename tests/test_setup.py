"""Set-up: requirements, the Makefile's recipes, and the hooks of pytest."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from rooms import PROJECT, ROOT


def requirements(lines: list[str]) -> dict[str, str]:
    """Return {name: bound} of requirement lines such as torch>=2.6."""
    return {
        re.match(r"[\w-]+", line)[0].lower(): re.sub(r"^[\w-]+", "", line)
        for line in lines
    }


def test_environment_yml_agrees_with_pyproject():
    yaml = pytest.importorskip("yaml")
    environment = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
    assert environment["name"] == PROJECT["name"]
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    lines = environment["dependencies"]
    assert [line for line in lines if isinstance(line, dict)] == [{"pip": ["-e ."]}]
    conda = requirements([line for line in lines if isinstance(line, str)])
    assert conda.pop("pip") == ""
    conda["torch"] = conda.pop("pytorch")
    version = conda.pop("python").removeprefix("=").split(".")
    lowest = PROJECT["requires-python"].removeprefix(">=").split(".")
    assert [*map(int, version)] >= [*map(int, lowest)]
    assert conda == requirements(PROJECT["dependencies"])


def test_requirements_have_lower_bounds_only():
    extras = PROJECT["optional-dependencies"]
    assert set(extras) == {"dev", "docs", "bench"}
    for lines in (PROJECT["dependencies"], *extras.values()):
        for name, bound in requirements(lines).items():
            assert re.fullmatch(r">=[\d.]+", bound), name


PYTEST = "pytest -n 2 --dist loadfile --no-loadscope-reorder"

FAKE_PYTHON = """#!/bin/sh
# Answers as Python does in the Makefile's recipes, and writes down what it was asked.
echo "$*" >> "$LOG"
case "$*" in
    "-m venv --clear "*)
        rm -rf "$4" && mkdir -p "$4/bin" && touch "$4/pyvenv.cfg"
        cp "$0" "$4/bin/python" ;;
    "-m pip install "*) test -z "$BROKEN_NETWORK" ;;
esac
"""


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
class TestMakefile:
    """The recipes, with a stand-in for Python, so that nothing is installed."""

    @pytest.fixture
    def make(self, tmp_path):
        for name in ("Makefile", "pyproject.toml"):
            shutil.copy(ROOT / name, tmp_path)
        (tmp_path / "python").write_text(FAKE_PYTHON)
        (tmp_path / "shim").write_text("#!/bin/sh\nexit 127\n")
        (tmp_path / "python").chmod(0o755)
        (tmp_path / "shim").chmod(0o755)
        log = tmp_path / "log"

        def run(*args: str, **variables: str) -> tuple[list[str], int, str]:
            log.write_text("")
            own = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "PYTHON", "ARGS")
            inherited = {k: v for k, v in os.environ.items() if k not in own}
            result = subprocess.run(
                ["make", f"PYTHON={tmp_path}/shim {tmp_path}/python", *args],
                cwd=tmp_path,
                env=inherited | variables | {"LOG": str(log)},
                capture_output=True,
                text=True,
            )
            asked = [
                line.replace('"', "")
                for line in log.read_text().splitlines()
                if line.startswith("-m") and line != "-m pip --version"
            ]
            return asked, result.returncode, result.stdout + result.stderr

        return run

    VENV = "-m venv --clear .venv"
    LAB = (
        "-m jupyterlab --ServerApp.root_dir=. --LabApp.app_settings_dir=tools/lab "
        "--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb"
    )

    def test_help_is_what_make_alone_says(self, make):
        asked, code, text = make()
        assert (asked, code) == ([], 0)
        assert "make lab" in text
        assert "make test" in text

    def test_the_first_call_installs_and_the_second_does_not(self, make):
        tests = f"-m {PYTEST}"
        assert make("test")[0] == [self.VENV, "-m pip install -e .[dev]", tests]
        assert make("test")[0] == [tests]

    def test_lab_needs_only_the_runtime(self, make):
        assert make("lab")[0] == [self.VENV, "-m pip install -e .", self.LAB]
        assert make("test")[0][0] == "-m pip install -e .[dev]"
        assert make("lab")[0] == [self.LAB]

    def test_what_dev_installed_is_enough_for_lab(self, make):
        make("test")
        assert make("lab", "ARGS=--allow-root")[0] == [f"{self.LAB} --allow-root"]

    def test_a_changed_pyproject_is_installed_again(self, make, tmp_path):
        make("test")
        later = (tmp_path / ".venv" / "dev-ready").stat().st_mtime + 5
        os.utime(tmp_path / "pyproject.toml", (later, later))
        assert make("test")[0][0] == "-m pip install -e .[dev]"

    def test_a_broken_install_leaves_no_stamp(self, make, tmp_path):
        asked, code, _ = make("test", BROKEN_NETWORK="1")
        assert asked[-1] == "-m pip install -e .[dev]"
        assert code != 0
        assert not list((tmp_path / ".venv").glob("*-ready"))
        assert make("test")[0] == ["-m pip install -e .[dev]", f"-m {PYTEST}"]

    def test_an_environment_whose_python_is_gone_is_made_anew(self, make, tmp_path):
        make("test")
        (tmp_path / ".venv" / "bin" / "python").unlink()
        asked, code, _ = make("test")
        assert asked == [self.VENV, "-m pip install -e .[dev]", f"-m {PYTEST}"]
        assert code == 0

    def test_without_a_usable_python_it_says_so(self, make, tmp_path):
        asked, code, text = make("test", f"PYTHONS={tmp_path}/shim no-such-python")
        assert asked == []
        assert code != 0
        assert "minddpm needs Python 3.11 or newer" in text
        assert "no-such-python" in text

    def test_arguments_reach_pytest(self, make):
        assert make("test", "ARGS=-k schedule")[0][-1] == f"-m {PYTEST} -k schedule"

    def test_another_python_gets_an_environment_of_its_own(self, make, tmp_path):
        (tmp_path / "python").rename(tmp_path / "python3.12")
        path = f"{tmp_path}:{os.environ['PATH']}"
        asked, code, _ = make("test-3.12", "PYTHON=", "ARGS=-k nets", PATH=path)
        tests = f"-m {PYTEST} -k nets"
        assert asked == [
            "-m venv --clear build/3.12", "-m pip install -e .[dev]", tests
        ]  # fmt: skip
        assert code == 0
        assert make("test-3.12", "ARGS=-k nets")[0] == [tests]
        asked, code, text = make("test-3.14", "PYTHON=", PATH=path)
        assert (asked, code != 0) == ([], True)
        assert "none of these\nis one: python3.14." in text

    @pytest.mark.parametrize(
        ("name", "pins"), [("lowest", "build/lowest.txt"), ("colab", "tests/colab.txt")]
    )
    def test_a_set_of_versions_is_a_file_for_pip(self, make, tmp_path, name, pins):
        (tmp_path / "tests").mkdir()
        (tmp_path / "tests" / "colab.txt").write_text("")
        assert make(f"test-{name}")[0] == [
            f"-m venv --clear build/{name}",
            f"-m pip install -c {pins} -e .[dev]",
            f"-m {PYTEST}",
        ]

    def test_the_lowest_versions_are_those_of_pyproject(self, make, tmp_path):
        assert make("build/lowest.txt")[1] == 0
        lines = (tmp_path / "build" / "lowest.txt").read_text().splitlines()
        extras = PROJECT["optional-dependencies"].values()
        expected = sum(extras, start=PROJECT["dependencies"])
        assert lines == [line.replace(">=", "==") for line in expected]


def test_what_make_lab_sets_are_settings_that_jupyterlab_has():
    schemas = Path(sys.prefix) / "share/jupyter/lab/schemas"
    if not schemas.is_dir():
        pytest.skip("JupyterLab lies elsewhere")
    text = (ROOT / "tools/lab/overrides.json").read_text("utf-8")
    for plugin, settings in json.loads(text).items():
        schema = (schemas / f"{plugin.replace(':', '/')}.json").read_text("utf-8")
        assert set(settings) <= set(json.loads(schema)["properties"]), plugin


@pytest.mark.slow
def test_the_hooks_heed_tags_of_cells_and_the_network_mark(tmp_path):
    cells = [
        ("1 / 0", ["skip-execution"]),
        ("x = 1", []),
        ("import time; time.sleep(60)", ["timeout=1"]),
    ]
    nb = nbformat.v4.new_notebook()
    for source, tags in cells:
        nb.cells.append(nbformat.v4.new_code_cell(source, metadata={"tags": tags}))
    nbformat.write(nb, tmp_path / "tags.ipynb")
    (tmp_path / "test_web.py").write_text(
        "import pytest\n@pytest.mark.network\ndef test(): raise OSError"
    )
    shutil.copy(ROOT / "conftest.py", tmp_path)
    flags = ("--nbval-lax", "--nbval-current-env", "-p", "no:cacheprovider")
    command = [sys.executable, "-m", "pytest", "-q", "-rs", *flags]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert "1 failed, 1 passed, 2 skipped" in result.stdout
    assert "needs the internet; run with -m network" in result.stdout
    assert "Timeout of 1 seconds exceeded" in result.stdout
