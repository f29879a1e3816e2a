"""The panel of an explorer, in this process."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from minddpm.course.kit.canvas import Picture, _encode
from minddpm.course.kit.controls import Button, Choice, Slider, Toggle, panel


def toy(a: int, x: float, kind: str, on: bool, run: Any) -> Picture:
    if kind == "impossible":
        raise ValueError("kind must be possible, got <impossible>")
    if kind == "broken":
        raise KeyError("x")
    png = _encode(np.zeros((3, 4, 4), np.uint8))
    return Picture(png, 'a "black" & tiny picture', f"{a} {x} {on} {run}", "!" * on)


def work(a: int, x: float, kind: str, on: bool) -> Iterator[int]:
    yield a
    if on:
        raise RuntimeError("no luck")
    yield a + 1


TOY = (
    Slider("limit", "the limit", (2, 10, 100), 100),
    Slider("a", "a number", range(1, 101), 50, at_most="limit", play=True),
    Slider("x", "x", (0.001, 0.01, 0.1, 1.0), 0.1, when=("kind", "first")),
    Choice("kind", "kind", ("first", "second", "impossible", "broken"), "first"),
    Toggle("on", "on"),
    Button("run", "Run", work),
)


@pytest.fixture
def widget():
    pytest.importorskip("ipywidgets")

    def draw(limit, **settings):
        calls.append((limit, settings["a"], settings["x"]))
        return toy(**settings)

    def run(limit, **settings):
        yield from work(**settings)

    calls = []
    controls = [*TOY[:-1], Button("run", "Run", run)]
    widget = panel(draw, controls)
    widget.calls = calls
    return widget


def sliders(widget, name: str) -> list[Any]:
    """Return all widgets of the row in which a control stands."""
    rows = widget.children[0].children
    return next(r.children for r in rows if widget.controls[name] in r.children)


@pytest.mark.filterwarnings("default")  # ipywidgets without a kernel
class TestPanel:
    def test_picture_and_numbers(self, widget):
        assert widget.children[1:] == (widget.picture, widget.status)
        assert 'src="data:image/png;base64,' in widget.picture.value
        assert 'alt="a &quot;black&quot; &amp; tiny picture"' in widget.picture.value
        assert 'width="4" height="3"' in widget.picture.value
        assert widget.picture.layout.min_height == "3px"
        assert '<div role="status"' in widget.status.value
        assert ">50 0.1 False None<" in widget.status.value

    def test_a_number_box_takes_what_the_slider_cannot(self, widget):
        box, slider = sliders(widget, "x")
        box.value = 0.0195
        assert "50 0.0195 False" in widget.status.value
        assert (box.value, slider.value) == (0.0195, 0.01)
        slider.value = 1.0
        assert box.value == 1.0
        assert "50 1.0 False" in widget.status.value
        box.value = 7.0
        assert box.value == 1.0

    def test_every_slider_has_a_box_of_the_same_name(self, widget):
        for name in ("limit", "a", "x"):
            box, slider, *_ = sliders(widget, name)
            assert box.description == slider.description != ""
            assert "Bounded" in type(box).__name__
            room = int(box.layout.width.removesuffix("ch")) - len(box.description)
            assert room == 12, "the label takes what the number needs"
            assert "Slider" in type(slider).__name__

    def test_a_limit_takes_the_other_slider_along(self, widget):
        box, slider, play = sliders(widget, "a")
        widget.controls["limit"].value = 20
        assert (box.value, box.max) == (20, 20)
        assert (slider.value, slider.max, play.max) == (20, 20, 20)
        assert "20 0.1" in widget.status.value
        widget.controls["limit"].value = 100
        box.value = 100
        assert slider.value == 100

    def test_no_setting_is_drawn_twice_and_none_breaks_the_limit(self, widget):
        widget.controls["a"].value = 90
        widget.controls["limit"].value = 10
        sliders(widget, "x")[1].value = 0.01
        assert widget.calls == [
            (100, 50, 0.1), (100, 90, 0.1), (10, 10, 0.1), (10, 10, 0.01)
        ]  # fmt: skip

    def test_a_control_that_does_not_matter_is_switched_off(self, widget):
        assert not any(w.disabled for w in sliders(widget, "x"))
        widget.controls["kind"].value = "second"
        assert all(w.disabled for w in sliders(widget, "x"))
        widget.controls["kind"].value = "first"
        assert not any(w.disabled for w in sliders(widget, "x"))

    def test_an_error_goes_to_the_status_and_the_picture_stays(self, widget):
        picture = widget.picture.value
        widget.controls["kind"].value = "impossible"
        assert "got &lt;impossible&gt;" in widget.status.value
        assert "ValueError" not in widget.status.value
        assert "still shows the setting before" in widget.status.value
        assert widget.picture.value == picture
        widget.controls["kind"].value = "broken"
        assert "KeyError: &#x27;x&#x27;" in widget.status.value
        widget.controls["kind"].value = "second"
        assert "50 0.1 False" in widget.status.value

    def test_a_warning_stands_out(self, widget):
        assert "#b3261e" not in widget.status.value
        widget.controls["on"].value = True
        assert "#b3261e" in widget.status.value

    def test_a_button_draws_what_its_work_yields(self, widget):
        before = len(widget.calls)
        widget.controls["run"].click()
        assert len(widget.calls) == before + 2
        assert ">50 0.1 False 51<" in widget.status.value
        widget.controls["a"].value = 7
        assert ">7 0.1 False 51<" in widget.status.value

    def test_work_that_fails_says_so_and_can_be_tried_again(self, widget):
        widget.controls["on"].value = True
        widget.controls["run"].click()
        assert "RuntimeError: no luck" in widget.status.value
        assert not widget.controls["run"].disabled
