"""Run notebooks and save them as a reader should find them.

    python tools/build.py notebooks/00_start_here.ipynb …

Each one runs from top to bottom in a fresh kernel, in its own folder, and is
saved with its outputs and without what changes from run to run. It is left as
it was when a cell fails, writes to stderr, or fails in a widget's callback.
Printed for each: seconds with the kernel's start, the kernel's peak memory, and
the size of the file.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

KERNEL = {
    "kernelspec": {
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
        "name": "python3",
    },
    "language_info": {"name": "python"},
}
# What stays of a cell's metadata.
KEPT = {"tags", "jupyter", "cellView", "editable", "deletable"}
WIDGET = "application/vnd.jupyter.widget-view+json"
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
WIDGET_TEXT = "(Interactive: run the cell to use it.)"

# The kernel tells its own peak, in MiB; Linux counts in KiB, macOS in bytes.
PROBE = """
import resource as _resource, sys as _sys
_peak = _resource.getrusage(_resource.RUSAGE_SELF).ru_maxrss
print(_peak // (2**20 if _sys.platform == "darwin" else 2**10))
"""


def run(nb: NotebookNode, folder: Path) -> tuple[float, int]:
    """Run all cells in place.

    Args:
        nb: the notebook; its outputs are replaced.
        folder: working directory of the kernel.

    Returns:
        Seconds, and the peak memory of the kernel in MiB.

    Raises:
        CellExecutionError: if a cell raises.
    """
    nb.cells.append(nbformat.v4.new_code_cell(PROBE))
    client = NotebookClient(
        nb,
        kernel_name="python3",
        timeout=600,
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    )
    start = time.perf_counter()
    client.execute()
    seconds = time.perf_counter() - start
    return seconds, int(nb.cells.pop().outputs[0].text)


def faults(nb: NotebookNode) -> Iterator[str]:
    """Yield what a reader should not find in the outputs, widgets' included."""
    places = [
        (f"cell {number}", cell.outputs)
        for number, cell in enumerate(nb.cells)
        if cell.cell_type == "code"
    ]
    widgets = nb.metadata.get("widgets", {}).get(WIDGET_STATE, {"state": {}})
    places += [
        ("a widget", widget["state"].get("outputs", ()))
        for widget in widgets["state"].values()
    ]
    for place, outputs in places:
        for output in outputs:
            if output["output_type"] == "error":
                yield f"{place} raised {output['ename']}: {output['evalue']}"
            elif output.get("name") == "stderr":
                yield f"{place} wrote to stderr: {output['text'].strip()}"


def normalise(nb: NotebookNode) -> None:
    """Strip what differs between runs and machines; keep the cells' ids."""
    nb.metadata = nbformat.from_dict(KERNEL)
    nb.nbformat_minor = 5
    for cell in nb.cells:
        for key in set(cell.metadata) - KEPT:
            del cell.metadata[key]
        if cell.cell_type == "code":
            cell.outputs = list(joined(cell.outputs))


def joined(outputs: list[NotebookNode]) -> Iterator[NotebookNode]:
    """Yield outputs with neighbouring pieces of printed text in one.

    How a stream is cut into messages is a matter of timing. A widget is saved
    as a line of text: it has nothing to show without a kernel, and its id
    changes every time.
    """
    last = NotebookNode()
    for output in outputs:
        name = output.get("name")
        if name and name == last.get("name"):
            last.text += output.text
            continue
        data = output.get("data", {})
        if WIDGET in data and "%|" in data.get("text/plain", ""):
            continue  # a progress bar has nothing to say once it is over
        if WIDGET in data:
            output.data = nbformat.from_dict({"text/plain": WIDGET_TEXT})
        last = output
        yield output


def build(path: Path) -> None:
    """Run a notebook, check its outputs, and save it in place.

    Args:
        path: the notebook.

    Raises:
        SystemExit: if it does not run cleanly; the file is left as it was.
    """
    nb = nbformat.read(path, as_version=4)
    try:
        seconds, mebibytes = run(nb, path.resolve().parent)
    except CellExecutionError as error:
        raise SystemExit(f"{path}: not saved\n{error}") from None
    if found := list(faults(nb)):
        raise SystemExit("\n  ".join([f"{path}: not saved", *found]))
    normalise(nb)
    nbformat.validate(nb)
    nbformat.write(nb, path)
    size = path.stat().st_size / 1024
    print(f"{path}: {seconds:.1f} s, peak {mebibytes} MiB, file {size:.0f} KiB")


def main() -> None:
    """Build the notebooks named on the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0],
        epilog="One that does not run cleanly is reported and left as it was.",
    )
    parser.add_argument("notebooks", nargs="+", type=Path)
    for path in parser.parse_args().notebooks:
        build(path)


if __name__ == "__main__":
    main()
