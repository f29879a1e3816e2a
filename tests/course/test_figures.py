"""What every figure of the course keeps to, in whichever room it is drawn.

The figures are the CALLS of test_figures.py in the rooms, and of kit/test_plots.py.
"""

import io
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from minddpm.course.contents import CHAPTERS
from minddpm.course.kit import plots
from rooms import load, room

DRAWN = {
    chapter.number: room(chapter) / "test_figures.py"
    for chapter in CHAPTERS
    if chapter.module("figures")
}
FILES = [*DRAWN.values(), Path(__file__).parent / "kit" / "test_plots.py"]
CALLS = {
    f"{path.parent.name}-{name}": call
    for path in FILES
    for name, call in load(path).CALLS.items()
}
each = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


@each
def test_one_figure_no_setting_changed_and_no_warning(call):
    """A glyph that the font lacks, or a layout that collapses, would be a warning."""
    before = dict(mpl.rcParams)
    assert call() is None
    assert dict(mpl.rcParams) == before
    assert len(plt.get_fignums()) == 1
    file = io.BytesIO()
    plt.savefig(file, format="png", bbox_inches="tight")
    assert file.getvalue()[:4] == b"\x89PNG"
    assert plt.gcf().get_figwidth() <= plots.WIDTH + 1e-9


@each
def test_text_is_large_enough_for_a_classroom(call):
    call()
    plt.gcf().draw_without_rendering()
    found = plt.gcf().findobj(mpl.text.Text)
    sizes = [text.get_fontsize() for text in found if text.get_text()]
    assert min(sizes, default=12) >= 12


@pytest.mark.parametrize("number", DRAWN)
def test_every_figure_of_a_room_is_called(number):
    (chapter,) = (c for c in CHAPTERS if c.number == number)
    module = chapter.module("figures")
    drawn = {name for name in vars(module) if name.startswith("plot_")}
    assert drawn
    source = DRAWN[number].read_text("utf-8")
    assert not [name for name in drawn if f"figures.{name}(" not in source]
