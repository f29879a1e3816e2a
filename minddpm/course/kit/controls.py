"""The widget around an explorer's `draw`: controls, a picture, a line of numbers.

Controls are data, and `draw(**settings)` is an ordinary function; so both can be tested
without a browser, and without ipywidgets. The same code runs on ipywidgets 7.7 (Colab)
and 8.
"""

import base64
import html
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral
from typing import Any

from minddpm.course.kit.canvas import Picture


@dataclass(frozen=True)
class Slider:
    """A number: a slider over some values, beside a box that takes any in between.

    Attributes:
        name: the argument of `draw`.
        label: shown, and read aloud; short, such as "steps T".
        values: in rising order. All ints: `draw` gets ints, else floats.
        value: where it starts.
        at_most: name of another slider that this one never exceeds; both need a range
            for `values`, or the other one any ints.
        when: (name, value) of another control, without which this one is switched off.
        play: add a button that runs through the values; they must be a range.
    """

    name: str
    label: str
    values: Sequence[float]
    value: float
    at_most: str | None = None
    when: tuple[str, Any] | None = None
    play: bool = False


@dataclass(frozen=True)
class Choice:
    """One of a few options, in a drop-down list.

    Attributes:
        name: the argument of `draw`.
        label: shown, and read aloud.
        options: the values, shown as text.
        value: where it starts.
        when: as for `Slider`.
    """

    name: str
    label: str
    options: Sequence[Any]
    value: Any
    when: tuple[str, Any] | None = None


@dataclass(frozen=True)
class Toggle:
    """Yes or no, as a checkbox.

    Attributes:
        name: the argument of `draw`, a bool.
        label: shown, and read aloud.
        value: where it starts.
        when: as for `Slider`.
    """

    name: str
    label: str
    value: bool = False
    when: tuple[str, Any] | None = None


@dataclass(frozen=True)
class Button:
    """Work too slow for a slider (over 0.1 s), done at a click.

    Attributes:
        name: the argument of `draw` that holds what the work gave; None before.
        label: the text on the button.
        work: called with the settings of all other controls, as `work(**settings)`; a
            generator, or anything else to iterate over. Each thing that it yields goes
            to `draw` at once, so a picture can grow while the work goes on.
    """

    name: str
    label: str
    work: Callable[..., Iterable[Any]]


Control = Slider | Choice | Toggle | Button

# Run in the browser at every new picture, and once more when all is surely there. What
# ipywidgets leaves nameless gets the name of the box beside it, and its number; and
# JupyterLab must not take the arrow keys of a list, nor "d d" there to delete the cell.
# Where scripts in HTML are forbidden, it does nothing.
_MIND_THE_KEYBOARD = """
const mind = () => {
  const box = this.closest('.widget-vbox');
  box?.querySelectorAll('select, input, button, [role=slider]').forEach(control =>
    control.setAttribute('data-lm-suppress-shortcuts', 'true'));
  box?.querySelectorAll('.widget-hbox .widget-hbox').forEach(row => {
    const label = row.querySelector('label')?.textContent;
    row.querySelectorAll('[role=slider], .ui-slider-handle').forEach(handle => {
      handle.setAttribute('aria-label', label);
      handle.setAttribute('aria-valuetext', row.querySelector('input').value);
    });
    row.querySelectorAll('.widget-play button').forEach((button, k) =>
      button.setAttribute('aria-label', ['play', 'stop', 'repeat'][k] + ' ' + label));
  });
};
mind();
setTimeout(() => this.isConnected &amp;&amp; mind(), 1000);
"""


def panel(draw: Callable[..., Picture], controls: Sequence[Control]) -> Any:
    """Build the widget of an explorer.

    Args:
        draw: a function of the settings, one argument a control, by name. What it
            raises is shown in the status line, and the picture stays.
        controls: in the order of reading.

    Returns:
        An ipywidgets box, with the attributes `controls` (a dict by name, of widgets
        with a `value` to set, and of buttons to `click()`), `picture` and `status`.
    """
    import ipywidgets as W

    inputs = {c.name: _make(W, c) for c in controls}  # [the handle, its company …]
    handles = {name: widgets[0] for name, widgets in inputs.items()}
    results = {c.name: None for c in controls if isinstance(c, Button)}
    picture, status = W.HTML(), W.HTML()
    shown: dict[str, Any] = {}

    def settings() -> dict[str, Any]:
        return {k: w.value for k, w in handles.items() if k not in results}

    def report(error: Exception) -> None:
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        status.value = _status(
            "The picture still shows the setting before.", f"{kind}{error}"
        )

    def redraw() -> None:
        shown.update(settings())
        try:
            result = draw(**shown, **results)
            picture.value = _img(result)
            picture.layout.min_height = f"{result.size[1]}px"
            status.value = _status(result.status, result.warning)
        except Exception as error:  # in a callback it would be lost, or kill the cell
            report(error)

    def follow(_: Any = None) -> None:
        for c in controls:
            if isinstance(c, Slider) and c.at_most is not None:
                limit = min(c.values[-1], handles[c.at_most].value)
                for widget in inputs[c.name]:
                    widget.max = limit  # and the value follows
            if (when := getattr(c, "when", None)) is not None:
                for widget in inputs[c.name]:
                    widget.disabled = handles[when[0]].value != when[1]
        if settings() != shown:
            redraw()

    def work(c: Button) -> None:
        handles[c.name].disabled = True
        status.value = _status(f"{c.label}: working …")
        try:
            for result in c.work(**settings()):
                results[c.name] = result
                redraw()
        except Exception as error:
            report(error)
        finally:
            handles[c.name].disabled = False

    for c in controls:
        if isinstance(c, Button):
            handles[c.name].on_click(lambda _, c=c: work(c))
        else:
            handles[c.name].observe(follow, "value")
    follow()
    # a handle at the end of its slider sticks out
    apart = {"margin": "0 16px 0 0", "overflow": "visible"}
    rows = [W.HBox(w, layout=apart) for w in inputs.values()]
    box = W.VBox([W.HBox(rows, layout={"flex_flow": "row wrap"}), picture, status])
    box.controls, box.picture, box.status = handles, picture, status
    return box


def _make(W: Any, c: Control) -> list[Any]:
    """Return a control's widgets, first the one whose value counts."""
    if isinstance(c, Button):
        return [W.Button(description=c.label, layout={"width": "auto"})]
    label = {"description": c.label, "style": {"description_width": "initial"}}
    if isinstance(c, Toggle):
        tight = {"width": "auto"}
        return [W.Checkbox(value=c.value, indent=False, layout=tight, **label)]
    if isinstance(c, Choice):
        options = [(str(option), option) for option in c.options]
        return [W.Dropdown(options=options, value=c.value, **label)]
    return _make_slider(W, c, label)


def _make_slider(W: Any, c: Slider, label: dict[str, Any]) -> list[Any]:
    """Return a box for the exact number, a slider that takes its hand, and Play.

    The box has a name for screen readers, which the others take over: see
    `_MIND_THE_KEYBOARD`. A slider of floats picks from a list, because one that adds
    steps drifts: 0.0249999.
    """
    ends = {"min": c.values[0], "max": c.values[-1]}
    whole = all(isinstance(value, Integral) for value in c.values)
    smallest = min(b - a for a, b in pairwise(c.values))
    kind = W.BoundedIntText if whole else W.BoundedFloatText
    # the label and the number share it: a long label must not cut off the number
    wide = {"width": f"{len(c.label) + 12}ch"}
    box = kind(value=c.value, step=smallest, layout=wide, **ends, **label)
    hidden = label | {"readout": False, "layout": {"width": "190px"}}
    hidden["style"] = {"description_width": "0px"}  # the box shows it already
    if isinstance(c.values, range):
        slider = W.IntSlider(value=c.value, step=smallest, **ends, **hidden)
    else:
        options = [(f"{value:g}", value) for value in c.values]
        slider = W.SelectionSlider(options=options, value=_near(c, c.value), **hidden)

    def lead(_: Any) -> None:
        slider.value = _near(c, box.value)

    def obey(_: Any) -> None:
        if slider.value != _near(c, box.value):  # else the box is more exact
            box.value = slider.value

    box.observe(lead, "value")
    slider.observe(obey, "value")
    if not c.play:
        return [box, slider]
    play = W.Play(value=c.value, step=smallest, interval=100, **ends)
    W.jslink((play, "value"), (slider, "value"))
    return [box, slider, play]


def _near(c: Slider, value: float) -> float:
    return min(c.values, key=lambda known: abs(known - value))


def _img(picture: Picture) -> str:
    width, height = picture.size
    data = base64.b64encode(picture.png).decode()
    return (
        f'<img src="data:image/png;base64,{data}" alt="{html.escape(picture.alt)}" '
        f'width="{width}" height="{height}" style="max-width: 100%; height: auto" '
        f'onload="{_MIND_THE_KEYBOARD}">'
    )


def _status(text: str, warning: str = "") -> str:
    if warning:  # white on a red of its own: any theme may be around
        warning = (
            '<div style="background: #b3261e; color: white; padding: 2px 8px">'
            f"{html.escape(warning)}</div>"
        )
    return (
        '<div role="status" style="font-size: 15px; line-height: 1.4; '
        f'white-space: pre-line">{html.escape(text)}{warning}</div>'
    )
