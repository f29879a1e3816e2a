"""What every explorer keeps to: each control at both its ends, here and in a kernel.

Where an explorer lives, and what makes it one, says minddpm/course/contents.py.
"""

import inspect
import itertools
import json
import random
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from matplotlib.text import Text

from minddpm.course import explorers
from minddpm.course.kit.canvas import Canvas
from minddpm.course.kit.controls import Button, Choice, Control, Slider
from playing import (
    MODULES,
    Settings,
    anywhere,
    attempt,
    bounded,
    corners,
    start,
    values,
)

each = pytest.mark.parametrize("module", MODULES.values(), ids=list(MODULES))


# --- what an explorer is made of ------------------------------------------------------


@each
def test_controls_and_draw_agree(module):
    names = [c.name for c in module.CONTROLS]
    assert len(set(names)) == len(names)
    assert set(inspect.signature(module.draw).parameters) == set(names)
    by_name = {c.name: c for c in module.CONTROLS}
    for c in module.CONTROLS:
        assert 0 < len(c.label) <= 30
        if isinstance(c, Slider):
            assert list(c.values) == sorted(set(c.values))
            assert c.values[0] <= c.value <= c.values[-1]
            assert isinstance(c.values, range) or not (c.play or c.at_most)
            assert c.at_most is None or isinstance(by_name[c.at_most], Slider)
        if isinstance(c, Choice):
            assert c.value in c.options
        if getattr(c, "when", None):
            assert c.when[1] in values(by_name[c.when[0]])


@each
def test_it_is_found_under_its_name(module):
    (name,) = (name for name in vars(module) if name.endswith("_explorer"))
    assert name in explorers.__all__
    assert getattr(explorers, name) is getattr(module, name)


def test_an_unknown_explorer_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"no 'nonsense' .* are .*schedule"):
        explorers.nonsense  # noqa: B018


# --- drawing --------------------------------------------------------------------------


@each
def test_every_corner_is_a_sound_picture_or_explained(module):
    size = module.draw(**start(module)).size
    assert size[0] == 900, "as wide as the other figures of the course"
    assert size[1] <= 420, "with controls and numbers it must fit on a projector"
    seen = {c.name: set() for c in module.CONTROLS}
    for settings in corners(module):
        if picture := attempt(module, settings):
            assert picture.size == size
            for name, value in settings.items():
                seen[name].add(value)
    for c in module.CONTROLS:
        missing = set(values(c)) - seen[c.name]
        assert not missing, f"{c.name} = {missing} is possible in no corner"


@each
def test_any_setting_between_will_do(module):
    rng = random.Random(0)
    drawn = [attempt(module, anywhere(module, rng)) for _ in range(30)]
    assert sum(picture is not None for picture in drawn) >= 10


@each
def test_every_control_changes_something(module):
    rng = random.Random(3)  # a rescaling by 1000/T does nothing at T = 1000
    begin, other = start(module), anywhere(module, rng)
    begins = [begin, other]
    begins += [bounded(module, begin | {name: other[name]}) for name in other]

    def changes(c: Control, begin: Settings) -> bool:
        if needed := getattr(c, "when", None):  # else it is switched off
            begin = begin | {needed[0]: needed[1]}
        moved = values(c)
        if isinstance(c, Button):
            others = {name: value for name, value in begin.items() if name != c.name}
            moved = list(itertools.islice(c.work(**others), 2))
        seen = [attempt(module, begin)]
        seen += [attempt(module, bounded(module, begin | {c.name: v})) for v in moved]
        return len({(p.png, p.status) for p in seen if p is not None}) > 1

    for c in module.CONTROLS:
        assert any(changes(c, begin) for begin in begins), f"{c.name} changes nothing"


@each
def test_a_picture_depends_on_its_settings_only(module):
    rng = random.Random(1)
    settings = start(module)
    first = module.draw(**settings)
    assert module.draw(**settings) == first
    for _ in range(10):
        attempt(module, anywhere(module, rng))
        assert module.draw(**settings) == first


@each
def test_text_is_legible_and_inside_the_figure(module, monkeypatch):
    canvases = []
    png = Canvas.png
    monkeypatch.setattr(Canvas, "png", lambda c: (canvases.append(c), png(c))[1])
    rng = random.Random(2)
    for settings in [start(module)] + [anywhere(module, rng) for _ in range(4)]:
        if attempt(module, settings) is None:
            continue
        figure = canvases.pop().figure
        texts = figure.findobj(lambda a: isinstance(a, Text) and a.get_visible())
        for text in texts:
            box = text.get_window_extent()
            outside = min(box.x0, box.y0) < -1 or box.x1 > figure.bbox.x1 + 1
            # ticks beyond the limits have text, but are not drawn
            if not text.get_text().strip() or (outside and text.axes is None):
                continue
            assert text.get_fontsize() >= 11, text
            if text.get_animated():
                assert not outside, f"{text.get_text()} leaves the figure"


WITH_DOTS = {
    name: MODULES[name] for name in ("forward_chain", "loss_weights", "schedule")
}


@pytest.mark.parametrize("module", WITH_DOTS.values(), ids=WITH_DOTS)
def test_every_dot_is_whole_and_on_its_axes(module):
    rng = random.Random(3)
    firsts = [start(module) | {"t": t} for t in (1, 1000)]
    for settings in firsts + [anywhere(module, rng) for _ in range(20)]:
        attempt(module, settings)
        scene = module._scene()
        for dot in getattr(scene, "dots", None) or [scene.dot]:
            assert not dot.get_clip_on(), "half of it is cut off on the edge"
            ((x, y),) = dot.get_xydata()
            (left, right), (low, high) = dot.axes.get_xlim(), dot.axes.get_ylim()
            assert left <= x <= right
            assert np.isnan(y) or low < y < high


def test_all_but_the_widget_works_without_ipywidgets():
    code = r"""
import sys
sys.modules["ipywidgets"] = None  # importing it raises ImportError
import warnings
warnings.simplefilter("error")
own = r"(matplotlib|pyparsing)\."  # older versions of these warn of each other
warnings.filterwarnings("default", "", DeprecationWarning, own)
import sys
from minddpm.course.contents import all_explorers
for name, explorer in all_explorers():
    module = sys.modules[explorer.__module__]
    begin = {c.name: getattr(c, "value", None) for c in module.CONTROLS}
    print(name.removesuffix("_explorer"), module.draw(**begin).size)
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert [line.split()[0] for line in result.stdout.splitlines()] == [*MODULES]


# --- the panel, in a live kernel ------------------------------------------------------

IN_KERNEL = r"""
import json, re, sys
from minddpm.course import explorers
from minddpm.course.kit.controls import Button, Choice, Slider

def ends(control):
    if isinstance(control, Slider):
        return [control.values[0], control.values[-1]]
    return list(control.options) if isinstance(control, Choice) else [False, True]

def move(name, module, widget):
    for control in module.CONTROLS:
        handle = widget.controls[control.name]
        if needed := getattr(control, "when", None):  # else it is switched off
            widget.controls[needed[0]].value = needed[1]
        seen = {(widget.picture.value, widget.status.value)}
        if isinstance(control, Button):
            handle.click()
            seen.add((widget.picture.value, widget.status.value))
        else:
            begin = handle.value
            for value in [*ends(control), begin]:
                handle.value = value
                if handle.value != min(value, getattr(handle, "max", value)):
                    faults.append(f"{name}.{control.name} did not become {value}")
                seen.add((widget.picture.value, widget.status.value))
        if len(seen) > 1:
            alive.add((name, control.name))
        if not widget.picture.value.startswith("<img"):
            faults.append(f"{name}.{control.name}: the picture is gone")
        if found := re.search(r"\b\w+Error: .*", widget.status.value):
            faults.append(f"{name}.{control.name}: {found[0]}")

widgets, faults, alive = {}, [], set()
for name in NAMES:
    explorer = getattr(explorers, f"{name}_explorer")
    module, widget = sys.modules[explorer.__module__], explorer()
    widgets[name] = widget
    move(name, module, widget)
    for control in module.CONTROLS:  # and once more, from other values
        if isinstance(control, Slider):
            value = control.values[len(control.values) // 3]
            widget.controls[control.name].value = value
    move(name, module, widget)
    faults += [f"{name}.{control.name} changes nothing"
               for control in module.CONTROLS if (name, control.name) not in alive]
rows = {
    name: [
        [[w.model_id, type(w).__name__, list(getattr(w, "_options_labels", ())) or
          [getattr(w, "min", 0), getattr(w, "max", 1)]] for w in row.children]
        for row in widget.children[0].children
    ]
    for name, widget in widgets.items()
}
shown = {  # a setting of slow work shows in the status until its button is pressed
    name: [widget.picture.model_id, widget.status.model_id]
    for name, widget in widgets.items()
}
"""


@pytest.fixture(scope="module")
def kernel():
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(kernel_name="python3", startup_timeout=120)
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def execute(client, code: str) -> tuple[dict[str, Any], list[dict]]:
    """Run code in the kernel; return a JSON value it printed, and all its messages."""
    messages = []
    client.execute_interactive(code, timeout=300, output_hook=messages.append)
    assert_quiet(messages)
    printed = "".join(
        m["content"]["text"] for m in messages if m["msg_type"] == "stream"
    )
    return json.loads(printed or "null"), messages


def assert_quiet(messages: list[dict]) -> None:
    for message in messages:
        content = message["content"]
        assert message["msg_type"] != "error", "\n".join(content["traceback"])
        assert content.get("name") != "stderr", content["text"]


def from_browser(client, model: str, state: Settings) -> list[dict]:
    """Move a control as a browser does, and return all that the kernel answers."""
    content = {
        "comm_id": model,
        "data": {"method": "update", "state": state, "buffer_paths": []},
    }
    message = client.session.msg("comm_msg", content)
    client.shell_channel.send(message)
    answers = []
    while True:
        answer = client.get_iopub_msg(timeout=60)
        if answer["parent_header"].get("msg_id") != message["header"]["msg_id"]:
            continue
        answers.append(answer)
        if answer["content"].get("execution_state") == "idle":
            return answers


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Jupyter's client's are not ours to mend
def test_every_control_of_every_explorer_in_a_live_kernel(kernel):
    execute(kernel, f"NAMES = {list(MODULES)}\n{IN_KERNEL}")
    faults, _ = execute(kernel, "print(json.dumps(faults))")
    assert not faults
    (rows, shown), _ = execute(kernel, "print(json.dumps([rows, shown]))")
    assert set(rows) == set(MODULES)
    for name, controls in rows.items():
        redrawn = 0
        for widgets in controls:
            for model, kind, ends in widgets:
                if kind in ("Button", "Play"):
                    continue
                key = "value"
                if kind in ("SelectionSlider", "Dropdown"):
                    key, ends = "index", [0, len(ends) - 1]
                if kind == "Checkbox":
                    ends = [True, False]
                for value in ends:
                    answers = from_browser(kernel, model, {key: value})
                    assert_quiet(answers)
                    redrawn += any(
                        a["msg_type"] == "comm_msg"
                        and a["content"]["comm_id"] in shown[name]
                        for a in answers
                    )
        assert redrawn >= len(controls), f"{name}: a browser sees {redrawn} redraws"


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_the_kernel_test_can_fail(kernel):
    execute(
        kernel,
        "import ipywidgets\nbad = ipywidgets.IntSlider()\n"
        "bad.observe(lambda change: 1 / 0, 'value')",
    )
    model, _ = execute(kernel, "import json; print(json.dumps(bad.model_id))")
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        assert_quiet(from_browser(kernel, model, {"value": 3}))
