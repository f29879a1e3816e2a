"""A reader with no kernel sees a figure beside each explorer."""

import json

import pytest

from rooms import FINISHED, NOTEBOOKS

EXPLORED = {
    path.name[:2]: path for path in NOTEBOOKS if "_explorer(" in path.read_text("utf-8")
}
NEAR = 10  # cells: the same section, or the one before it


def far_from_figures(cells: list[dict]) -> list[int]:
    """Return the explorers that have no saved picture near before them."""
    pictures = [
        i
        for i, cell in enumerate(cells)
        if any("image/png" in out.get("data", {}) for out in cell.get("outputs", []))
    ]
    explorers = [
        i
        for i, cell in enumerate(cells)
        if cell["cell_type"] == "code" and "_explorer(" in "".join(cell["source"])
    ]
    return [i for i in explorers if not any(i - NEAR <= near <= i for near in pictures)]


def test_an_explorer_on_its_own_is_found():
    figure = {"cell_type": "code", "source": ["plot()"], "outputs": [{"data": {}}]}
    alone = {"cell_type": "code", "source": ["an_explorer()"], "outputs": []}
    assert far_from_figures([figure, alone]) == [1]
    figure["outputs"][0]["data"] = {"image/png": ""}
    assert far_from_figures([figure, alone]) == []
    assert far_from_figures([figure, *[{"cell_type": "x"}] * NEAR, alone]) == [11]


def test_each_notebook_of_the_main_path_has_an_explorer():
    assert set(EXPLORED) >= {chapter.number for chapter in FINISHED[1:]}


@pytest.mark.parametrize("number", EXPLORED)
def test_a_figure_stands_beside_each_explorer(number):
    cells = json.loads(EXPLORED[number].read_text("utf-8"))["cells"]
    assert not far_from_figures(cells)
