"""The saved notebooks, as a reader should find them, and tools/build.py."""

import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.validator import iter_validate

from rooms import NOTEBOOKS, ROOT, each_notebook


def test_there_is_a_row_in_contents_for_each_notebook_and_no_other():
    assert sorted((ROOT / "notebooks").glob("*.ipynb")) == NOTEBOOKS
    others = {path.name for path in (ROOT / "notebooks").iterdir()} - {
        *(path.name for path in NOTEBOOKS),
        *("images", ".ipynb_checkpoints"),
    }
    assert not others, "a reader sees them in JupyterLab's list of files"


def notebook_faults(nb: dict) -> list[str]:
    """Return what is wrong with a saved notebook, from its JSON."""
    faults = [f"not valid: {error.message}" for error in iter_validate(nb)]
    if nb["metadata"].get("kernelspec", {}).get("name") != "python3":
        faults.append("the kernel is not python3")
    if len({cell.get("id") for cell in nb["cells"]} - {None}) != len(nb["cells"]):
        faults.append("cells without an id of their own")
    texts = ["".join(cell["source"]) for cell in nb["cells"]]
    code = [cell for cell in nb["cells"] if cell["cell_type"] == "code"]
    ran = [cell for cell in code if "".join(cell["source"]).strip()]
    if [c["execution_count"] for c in ran] != list(range(1, len(ran) + 1)):
        faults.append("not saved from one clean run")
    outputs = [output for cell in code for output in cell["outputs"]]
    if any(output["output_type"] == "error" for output in outputs):
        faults.append("an error is saved")
    if any(output.get("name") == "stderr" for output in outputs):
        faults.append("stderr is saved")
    for number, (cell, text) in enumerate(zip(nb["cells"], texts, strict=True)):
        lines = text.splitlines()
        if cell["cell_type"] == "markdown" and len(text.split()) > 120:
            faults.append(f"cell {number}: {len(text.split())} words, above 120")
        if cell["cell_type"] == "code" and len(lines) > 20:
            faults.append(f"cell {number}: {len(lines)} lines, above 20")
        if cell["cell_type"] == "code" and any(len(line) > 80 for line in lines):
            faults.append(f"cell {number}: a line above 80 columns")
    return faults


def test_a_bad_notebook_is_found_out():
    cells = [
        nbformat.v4.new_markdown_cell("word " * 121),
        nbformat.v4.new_code_cell("x\n" * 21, execution_count=2),
        nbformat.v4.new_code_cell("# " + "much too wide " * 6),
    ]
    nb = nbformat.v4.new_notebook(cells=cells)
    cells[1].outputs = [
        nbformat.v4.new_output("stream", name="stderr", text="careful"),
        nbformat.v4.new_output("error", ename="E", evalue="", traceback=[]),
    ]
    cells[2]["id"] = cells[1]["id"]
    nb["surplus"] = 1
    faults = notebook_faults(nb)
    assert faults.pop(0).startswith("not valid")
    assert faults == [
        "the kernel is not python3",
        "cells without an id of their own",
        "not saved from one clean run",
        "an error is saved",
        "stderr is saved",
        "cell 0: 121 words, above 120",
        "cell 1: 21 lines, above 20",
        "cell 2: a line above 80 columns",
    ]


@each_notebook
def test_saved_notebook_is_as_a_reader_should_find_it(path):
    assert re.fullmatch(r"\d\d_\w+\.ipynb", path.name)
    assert path.stat().st_size <= 2**20
    assert not notebook_faults(json.loads(path.read_text("utf-8")))


@pytest.mark.slow
class TestBuild:
    """tools/build.py, on notebooks of a few cells."""

    @pytest.fixture
    def build(self, tmp_path):
        path = tmp_path / "page.ipynb"

        def run(*sources: str) -> tuple[subprocess.CompletedProcess[str], str, Path]:
            nb = nbformat.v4.new_notebook()
            nb.cells = [nbformat.v4.new_code_cell(source) for source in sources]
            nb.cells[0].metadata = {"tags": ["hide"], "trusted": True}
            nb.metadata = {"kernelspec": {"name": "other", "display_name": "Other"}}
            nbformat.write(nb, path)
            before = path.read_text("utf-8")
            command = [sys.executable, ROOT / "tools" / "build.py", path]
            result = subprocess.run(command, capture_output=True, text=True)
            return result, before, path

        return run

    def test_a_clean_run_is_saved_and_normalised(self, build):
        widget = "import ipywidgets; ipywidgets.IntSlider()"
        result, before, path = build("print('a')\nprint('b')", widget)
        assert result.returncode == 0, result.stderr
        assert re.search(r"\d s, peak \d+ MiB, file \d+ KiB", result.stdout)
        old, nb = json.loads(before), json.loads(path.read_text("utf-8"))
        assert [c["id"] for c in nb["cells"]] == [c["id"] for c in old["cells"]]
        assert [c["execution_count"] for c in nb["cells"]] == [1, 2]
        assert nb["cells"][0]["metadata"] == {"tags": ["hide"]}
        assert nb["cells"][0]["outputs"][0]["text"] == ["a\n", "b\n"]
        assert list(nb["cells"][1]["outputs"][0]["data"]) == ["text/plain"]
        assert nb["metadata"]["kernelspec"]["name"] == "python3"
        assert nb["metadata"]["language_info"] == {"name": "python"}
        assert set(nb["metadata"]) == {"kernelspec", "language_info"}

    def test_a_run_that_fails_is_not_saved(self, build):
        result, before, path = build("1 / 0")
        assert result.returncode == 1
        assert "not saved" in result.stderr
        assert "ZeroDivisionError" in result.stderr
        assert path.read_text("utf-8") == before

    def test_a_run_that_only_seems_to_succeed_is_not_saved(self, build):
        warning = "import warnings; warnings.warn('old')"
        widget = "import ipywidgets\nout = ipywidgets.Output()\nwith out:\n    1 / 0"
        result, before, path = build(warning, widget)
        assert result.returncode == 1
        assert "cell 0 wrote to stderr" in result.stderr
        assert "a widget raised ZeroDivisionError" in result.stderr
        assert path.read_text("utf-8") == before
