"""The explorers: every control at both its ends, without a browser and in a kernel.

An explorer is found by itself: a module of minddpm.course.explorers with `CONTROLS`,
`draw` and `<name>_explorer`.
"""

import importlib
import inspect
import io
import itertools
import json
import pkgutil
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from minddpm import Schedule
from minddpm.course import explorers
from minddpm.course.explorers import panel as shell
from minddpm.course.explorers.canvas import Canvas, Picture, _encode
from minddpm.course.explorers.panel import Button, Choice, Slider, Toggle, panel

MODULES = {
    info.name: importlib.import_module(f"{explorers.__name__}.{info.name}")
    for info in pkgutil.iter_modules(explorers.__path__)
    if info.name not in ("canvas", "panel")
}
each = pytest.mark.parametrize("module", MODULES.values(), ids=list(MODULES))
Settings = dict[str, Any]


# --- settings -------------------------------------------------------------------------


def values(control: shell.Control) -> list[Any]:
    """Return the ends of a control's range, or all its options."""
    if isinstance(control, Slider):
        return [control.values[0], control.values[-1]]
    if isinstance(control, Choice):
        return list(control.options)
    return [False, True] if isinstance(control, Toggle) else [None]


def start(module: ModuleType) -> Settings:
    return {c.name: getattr(c, "value", None) for c in module.CONTROLS}


def bounded(module: ModuleType, settings: Settings) -> Settings:
    """Keep every slider within the limit that another one sets, as the panel does."""
    limited = dict(settings)
    for c in module.CONTROLS:
        if isinstance(c, Slider) and c.at_most:
            limited[c.name] = min(settings[c.name], settings[c.at_most])
    return limited


def corners(module: ModuleType) -> Iterator[Settings]:
    """Yield all combinations of extremes."""
    names = [c.name for c in module.CONTROLS]
    for combination in itertools.product(*map(values, module.CONTROLS)):
        yield bounded(module, dict(zip(names, combination, strict=True)))


def anywhere(module: ModuleType, rng: random.Random) -> Settings:
    """Return any setting that the controls allow, listed values or not."""

    def value(c: shell.Control) -> Any:
        if not isinstance(c, Slider):
            return rng.choice(values(c))
        low, high = values(c)
        whole = all(isinstance(value, int) for value in c.values)
        return rng.randint(low, high) if whole else rng.uniform(low, high)

    return bounded(module, {c.name: value(c) for c in module.CONTROLS})


def assert_sound(picture: Picture) -> np.ndarray:
    """Return the pixels of a picture, once it is known to be one."""
    assert picture.png.startswith(b"\x89PNG")
    with Image.open(io.BytesIO(picture.png)) as image:
        image.load()
        assert image.size == picture.size
        pixels = np.asarray(image.convert("RGB"))
    assert pixels[::5].std() > 1, "the picture is empty"
    assert picture.alt
    assert picture.status
    for text in (picture.alt, picture.status, picture.warning):
        assert not re.search(r"\b(nan|inf|None|tensor|array)\b", text), text
    return pixels


def attempt(module: ModuleType, settings: Settings) -> Picture | None:
    """Return the picture, or None for a setting that is refused with a reason."""
    try:
        picture = module.draw(**settings)
    except ValueError as error:
        reason = str(error)
    else:
        assert_sound(picture)
        return picture
    assert len(reason) > 20, f"{settings}: {reason}"
    return None


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
def test_it_is_exported_under_its_name(module):
    name = f"{module.__name__.rpartition('.')[2]}_explorer"
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
    begins = [start(module)] + [anywhere(module, rng) for _ in range(5)]

    def changes(c: shell.Control, begin: Settings) -> bool:
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


# --- the schedule explorer ------------------------------------------------------------


class TestSchedule:
    BEGIN = start(MODULES["schedule"])

    @pytest.mark.parametrize(
        ("change", "schedule"),
        [
            ({}, Schedule.linear()),
            ({"T": 50}, Schedule.linear(50)),
            ({"T": 50, "rescale": True}, Schedule.linear(50, rescale=True)),
            ({"beta_1": 1e-3, "beta_T": 0.1}, Schedule.linear(1000, 1e-3, 0.1)),
            ({"kind": "cosine", "T": 20}, Schedule.cosine(20)),
            ({"kind": "cosine"}, Schedule.cosine()),
            ({"kind": "sigmoid", "T": 137}, Schedule.sigmoid(137)),
        ],
    )
    def test_numbers_are_the_packages(self, change, schedule):
        for t in (1, schedule.T // 2, schedule.T):
            settings = self.BEGIN | change | {"t": t}
            status = MODULES["schedule"].draw(**settings).status
            numbers = re.findall(r"-?\d[\d.]*(?:e-?\d+)?", status.replace("log₁₀", ""))
            names = ("t", "T", "beta", "signal", "snr", "end")
            found = dict(zip(names, numbers, strict=False))  # there are more
            assert int(found["t"]) == t
            assert int(found["T"]) == schedule.T
            exact = schedule.betas[t], schedule.sqrt_alpha_bars[t]
            assert float(found["beta"]) == pytest.approx(float(exact[0]), rel=1e-3)
            assert float(found["signal"]) == pytest.approx(float(exact[1]), rel=5e-3)
            log_snr = float(schedule.snr[t].log10())
            assert float(found["snr"]) == pytest.approx(log_snr, abs=6e-3)
            end = float(schedule.sqrt_alpha_bars[-1])
            assert float(found["end"]) == pytest.approx(end, rel=5e-3)

    @pytest.mark.parametrize("change", [{"kind": "cosine"}, {"beta_T": 0.5}])
    def test_every_dot_is_on_its_axis_to_the_last_step(self, change):
        module = MODULES["schedule"]
        picture = module.draw(**self.BEGIN | change | {"t": 1000})
        for dot in module._scene().dots:
            ((x, y),) = dot.get_xydata()
            (left, right), (low, high) = dot.axes.get_xlim(), dot.axes.get_ylim()
            assert left < x < right
            assert low < y < high
        assert "log₁₀ SNR = -38.00" not in picture.status  # that is float32's end

    @pytest.mark.parametrize(
        ("change", "percent"),
        [({"T": 400, "t": 300}, 13), ({"T": 50, "t": 9}, 78), ({"beta_T": 0.01}, 8)],
    )
    def test_a_red_flag_where_the_picture_survives(self, change, percent):
        picture = MODULES["schedule"].draw(**self.BEGIN | change)
        assert f"at {percent} % of its contrast" in picture.warning
        red = (assert_sound(picture) == (0xB3, 0x26, 0x1E)).all(axis=2).sum()
        calm = assert_sound(MODULES["schedule"].draw(**self.BEGIN))
        assert red > 1000 > (calm == (0xB3, 0x26, 0x1E)).all(axis=2).sum()

    @pytest.mark.parametrize(
        "change", [{}, {"T": 50, "t": 9, "rescale": True}, {"kind": "cosine"}]
    )
    def test_no_red_flag_where_it_does_not(self, change):
        assert MODULES["schedule"].draw(**self.BEGIN | change).warning == ""

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"T": 10, "t": 1, "rescale": True}, "multiplied by 1000/T = 100"),
            ({"beta_1": 0.02, "beta_T": 0.01}, "0 < beta_1 < beta_T < 1"),
            ({"T": 100, "t": 101}, "t must be in 1…100, got 101"),
            ({"kind": "quadratic"}, "kind must be one of linear, cosine, sigmoid"),
        ],
    )
    def test_what_is_impossible_says_why(self, change, message):
        with pytest.raises(ValueError, match=re.escape(message)):
            MODULES["schedule"].draw(**self.BEGIN | change)


# --- the canvas -----------------------------------------------------------------------


def test_the_png_is_what_the_canvas_shows():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (5, 7, 4), dtype=np.uint8)
    picture = Picture(_encode(pixels), "", "")
    assert picture.size == (7, 5)
    with Image.open(io.BytesIO(picture.png)) as image:
        assert image.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(image), pixels[:, :, :3])


def test_only_what_is_animated_is_drawn_again():
    canvas = Canvas(height=2.0)
    ax = canvas.figure.subplots()
    (still,) = ax.plot([0, 1], [0, 1])
    (moving,) = ax.plot([0, 1], [1, 0], animated=True)
    first = canvas.png()
    still.set_ydata([1, 1])
    ax.set_title("late")
    assert canvas.png() == first
    moving.set_ydata([1, 1])
    second = canvas.png()
    assert second != first
    moving.set_ydata([1, 0])
    assert canvas.png() == first
    assert Picture(second, "", "").size == (900, 200)


def test_drawing_leaves_no_trace_in_matplotlib():
    import matplotlib as mpl
    from matplotlib import pyplot

    before = dict(mpl.rcParams), pyplot.get_fignums()
    module = MODULES["schedule"]
    module._scene.cache_clear()
    module.draw(**start(module))
    assert (dict(mpl.rcParams), pyplot.get_fignums()) == before


# --- the panel, in this process -------------------------------------------------------


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


def test_all_but_the_widget_works_without_ipywidgets():
    code = """
import sys
sys.modules["ipywidgets"] = None  # importing it raises ImportError
import importlib, pkgutil
from minddpm.course import explorers
for info in pkgutil.iter_modules(explorers.__path__):
    module = importlib.import_module(f"{explorers.__name__}.{info.name}")
    if hasattr(module, "draw"):
        begin = {c.name: getattr(c, "value", None) for c in module.CONTROLS}
        print(info.name, module.draw(**begin).size)
"""
    command = [sys.executable, "-W", "error", "-c", code]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert [line.split()[0] for line in result.stdout.splitlines()] == [*MODULES]


# --- the panel, in a live kernel ------------------------------------------------------

IN_KERNEL = r"""
import importlib, json, re
from minddpm.course import explorers
from minddpm.course.explorers.panel import Button, Choice, Slider

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
    module = importlib.import_module(f"{explorers.__name__}.{name}")
    widget = widgets[name] = getattr(module, f"{name}_explorer")()
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
