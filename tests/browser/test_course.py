"""The course as a reader uses it: each notebook is opened, run, and played with.

One run of a notebook serves all tests of it, in the order in which they stand here.
"""

import statistics
import time
from typing import Any

import nbformat
import pytest

import rooms
from browser import lab
from browser.explorer import CUT, RESTS, Explorer, home, name_in
from minddpm.course.kit.controls import Button, Choice, Control, Slider, Toggle

pytestmark = [pytest.mark.slow, pytest.mark.browser]

NOTEBOOKS = {path.name[:2]: path for path in rooms.NOTEBOOKS}
EXPLORERS = {
    number: name
    for number, path in NOTEBOOKS.items()
    if (name := name_in(nbformat.read(path, as_version=4).cells))
}
each = pytest.mark.parametrize(
    "notebook", NOTEBOOKS.values(), ids=list(NOTEBOOKS), indirect=True
)
each_explorer = pytest.mark.parametrize(
    "notebook", [NOTEBOOKS[n] for n in EXPLORERS], ids=list(EXPLORERS), indirect=True
)
each_control = pytest.mark.parametrize(
    ("notebook", "control"),
    [
        pytest.param(NOTEBOOKS[number], c.name, id=f"{number}-{name}-{c.name}")
        for number, name in EXPLORERS.items()
        for c in home(name).CONTROLS
    ],
    indirect=["notebook"],
)

PRESSES = 4  # of a key on a slider, each until its picture is there
SLOWEST = 500  # ms, median; on a machine with nothing else to do it is under 80
PROJECTOR, DESK = (1280, 720), (1920, 1080)

# Where a control would otherwise change nothing.
BEFORE: dict[str, dict[str, Any]] = {
    "schedule": {"T": 400}  # 1000/T = 1 for the 1000 steps that it starts with
}
# In the page: a question over a comm that the kernel does not know; and what it said.
ASK = f"""target => {{
    const comm = {lab.KERNEL}.createComm(target);
    comm.open();
    comm.send({{}});
    return comm.commId;
}}"""
HEARD = "lines => lines.every(line => window.stderr.includes(`${line}\\n`))"

# Settings of the next training: they change the line below the picture, and the picture
# only when the button is pressed.
LATER = {("training", name) for name in ("batch", "lr", "time")}
LATER |= {("context_dropout", "drop_prob")}


def test_complaints_are_heard_but_for_jupyterlabs_own_question(browser, address):
    page = lab.Page(browser, address, NOTEBOOKS["01"])

    def ask(target: str) -> list[str]:
        comm = page.page.evaluate(ASK, target)
        return [f"No such comm target registered: {target}", f"No such comm: {comm}"]

    try:
        jupyterlabs, ours = ask(lab.ASKS), [*ask("nobody"), "look"]
        page.execute("import sys; print('look', file=sys.stderr)")
        page.page.wait_for_function(HEARD, arg=[*jupyterlabs, *ours])
        assert set(page.complaints()) == set(ours)
    finally:
        page.close()


@each
def test_it_runs_to_the_end_and_nothing_complains(notebook, record_property, artefacts):
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert notebook.counts() == [*range(1, len(code) + 1)]
    assert not notebook.complaints()
    row = (notebook.path.stem, "all cells", "run", f"{notebook.seconds:.1f} s")
    record_property("browser", row)
    notebook.page.screenshot(path=artefacts / f"{notebook.path.stem[:2]}-end.png")


@each_explorer
def test_it_fits_on_a_projector(explorer, artefacts):
    page = explorer.page.page
    for width, height in (DESK, PROJECTOR):
        page.set_viewport_size({"width": width, "height": height})
        explorer.area.scroll_into_view_if_needed()
        explorer.area.evaluate(RESTS)
        name = f"{explorer.page.path.stem[:2]}-{explorer.name}-{width}x{height}.png"
        page.screenshot(path=artefacts / name)
        image = explorer.area.locator("img")
        assert image.evaluate("i => [i.width, i.height]") == image.evaluate(
            "i => [i.naturalWidth, i.naturalHeight]"
        ), "the picture is not shown pixel by pixel"
    for c in explorer.controls.values():
        if isinstance(c, Slider):
            assert not explorer.find(c).evaluate(CUT), f"{c.name} is cut off"
    room = page.locator(".jp-WindowedPanel-outer:visible").bounding_box()
    assert explorer.area.bounding_box()["height"] <= room["height"]


@each_explorer
def test_every_control_is_reached_by_tab_and_has_a_name(explorer):
    for c in explorer.controls.values():  # what is switched off cannot be reached
        if when := getattr(c, "when", None):
            assert explorer.find(c).is_enabled() == (
                explorer.settings[when[0]] == when[1]
            )
    stops = explorer.walk()
    assert all(name for _, name in stops), f"a stop of Tab without a name: {stops}"
    for c in explorer.controls.values():
        expected = [(explorer.kind(c), c.label)]
        if isinstance(c, Slider):
            expected += [("slider", c.label)]
            expected += [("button", f"play {c.label}")] * c.play
        if explorer.find(c).is_enabled():
            assert set(expected) <= set(stops), stops
    names = [(explorer.kind(c), c.label) for c in explorer.controls.values()]
    in_order = [stop for stop in stops if stop in names]
    assert in_order == [name for name in names if name in in_order], "not as they stand"


# --- moves ----------------------------------------------------------------------------


def press(explorer: Explorer, c: Control, key: str, value: Any) -> float:
    """Press a key; return the milliseconds until the picture of the value is there."""
    before = explorer.shown()
    explorer.now(c, value)
    due = explorer.expected()
    explorer.page.page.keyboard.press(key)
    explorer.arrives(due)
    assert_changed(explorer, c, before)
    return explorer.milliseconds()


def assert_changed(explorer: Explorer, c: Control, before: tuple[str, str]) -> None:
    after = explorer.shown()
    later = (explorer.name, c.name) in LATER
    assert (after[0] == before[0]) == later, f"the picture: {after[1]}"
    assert after[1] != before[1] or not later


def settle(explorer: Explorer, c: Slider, before: tuple[str, str]) -> None:
    """Wait until a slider rests: its handle, its box and the picture agree."""
    handle = explorer.role("slider", c.label)
    deadline = time.monotonic() + lab.ACT
    while True:
        assert time.monotonic() < deadline, f"{c.name} does not rest, or does nothing"
        explorer.page.page.wait_for_timeout(200)
        at = round(float(handle.get_attribute("aria-valuenow")))
        at = at if isinstance(c.values, range) else c.values[at]
        value, shown = explorer.number(c), explorer.shown()
        if value == at and shown != before:
            explorer.now(c, value)
            if shown == explorer.expected():
                break
    assert_changed(explorer, c, before)


def between(explorer: Explorer, c: Slider) -> float:
    """Return a number for a slider's box, if possible one that its handle lacks."""
    allowed = [v for v in c.values if v <= explorer.highest(c)]
    for k in (len(allowed) // 3, len(allowed) // 2):
        middle = (allowed[k] + allowed[k + 1]) / 2
        whole = isinstance(c.values[0], int)
        value = int(middle) if whole else float(f"{middle:.3g}")
        if value != explorer.settings[c.name]:
            break
    return value


def move_slider(explorer: Explorer, c: Slider) -> list[float]:
    """Move a slider in all ways, and return the milliseconds of the keys."""
    page, values = explorer.page.page, list(c.values)
    handle, box = explorer.role("slider", c.label), explorer.find(c)
    handle.focus()
    times, k = [], values.index(explorer.settings[c.name])
    allowed = [v for v in values if v <= explorer.highest(c)]
    step = 1
    for _ in range(PRESSES):
        if not 0 <= k + step < len(allowed):
            step = -step
        k += step
        key = "ArrowRight" if step > 0 else "ArrowLeft"
        times.append(press(explorer, c, key, values[k]))
    value = between(explorer, c)
    box.focus()
    page.keyboard.press("Control+a")
    page.keyboard.type(str(value))
    times.append(press(explorer, c, "Enter", value))
    assert not box.evaluate(CUT), f"{value} is cut off"
    drag(explorer, c)
    if c.play:
        play(explorer, c)
    return times


def drag(explorer: Explorer, c: Slider) -> None:
    """Drag the handle with the mouse, to the other half of the slider."""
    mouse, before = explorer.page.page.mouse, explorer.shown()
    handle = explorer.role("slider", c.label)
    place = handle.bounding_box()
    rail = handle.locator("xpath=ancestor::*[contains(@class, 'noUi-base')]")
    ends = rail.bounding_box()
    x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
    right = x > ends["x"] + ends["width"] / 2
    mouse.move(x, y)
    mouse.down()
    mouse.move(ends["x"] + ends["width"] * (0.3 if right else 0.7), y, steps=4)
    mouse.up()
    settle(explorer, c, before)


def play(explorer: Explorer, c: Slider) -> None:
    """Play and pause, by mouse and by keyboard; then go back to the start."""
    page = explorer.page.page
    button = explorer.role("button", f"play {c.label}")
    for act in (button.click, lambda: (button.focus(), page.keyboard.press("Enter"))):
        explorer.set(**{c.name: c.values[len(c.values) // 20]})
        before, first = explorer.shown(), explorer.number(c)
        act()
        deadline = time.monotonic() + lab.ACT
        while explorer.number(c) < first + 3:
            assert time.monotonic() < deadline, "it does not play"
            page.wait_for_timeout(50)
        act()
        settle(explorer, c, before)
    explorer.role("button", f"stop {c.label}").focus()
    press(explorer, c, "Enter", c.values[0])


def choose(explorer: Explorer, c: Choice) -> list[float]:
    """Go through a list by keyboard; then open it with the mouse, and choose."""
    options, listed = list(c.options), explorer.find(c)
    k, times = options.index(explorer.settings[c.name]), []
    listed.focus()
    for key, step in (("ArrowDown", 1), ("ArrowUp", -1)):
        for _ in range(PRESSES):
            if 0 <= k + step < len(options):
                k += step
                times.append(press(explorer, c, key, options[k]))
    # the open list is a window of the browser's own, where tests have no mouse
    k, before = (k + 1) % len(options), explorer.shown()
    listed.click()
    key = "ArrowDown" if k else "ArrowUp"
    explorer.page.page.keyboard.press(key)
    explorer.page.page.keyboard.press("Enter")
    explorer.now(c, options[k])
    explorer.arrives()
    assert_changed(explorer, c, before)
    return times


def toggle(explorer: Explorer, c: Toggle) -> list[float]:
    """Switch it on and off by keyboard, and by mouse."""
    box = explorer.find(c)
    box.focus()
    states = [not explorer.settings[c.name], explorer.settings[c.name]]
    times = [press(explorer, c, "Space", state) for state in 2 * states]
    for state in states:
        before = explorer.shown()
        box.click()
        explorer.now(c, state)
        explorer.arrives()
        assert_changed(explorer, c, before)
    return times


def push(explorer: Explorer, c: Button) -> list[float]:
    """Train by keyboard; and with another setting, by mouse."""
    first = next(c for c in explorer.controls.values() if isinstance(c, Slider))
    button, times = explorer.find(c), []
    for act in (lambda: button.press("Enter"), button.click):
        before = explorer.shown()
        explorer.results[c.name] = [*c.work(**explorer.settings)][-1]
        due = explorer.expected()
        start = time.perf_counter()
        act()
        explorer.arrives(due)
        times.append(1000 * (time.perf_counter() - start))
        assert_changed(explorer, c, before)
        assert button.is_enabled()
        explorer.set(**{first.name: first.values[0]})
    return times


MOVES = {Slider: move_slider, Choice: choose, Toggle: toggle, Button: push}


@each_control
def test_a_control_by_keyboard_and_by_mouse(
    explorer, control, record_property, artefacts
):
    c = explorer.controls[control]
    explorer.set(**BEFORE.get(explorer.name, {}))
    if when := getattr(c, "when", None):
        explorer.set(**{when[0]: when[1]})
    what = f"{explorer.name}: {c.label}"
    row = [explorer.page.path.stem, what, "", ""]
    times = MOVES[type(c)](explorer, c)
    if isinstance(c, Button):
        row[2:] = f"{len(times)} trainings", f"{statistics.median(times) / 1000:.1f} s"
    else:
        row[2:] = f"{len(times)} keys", f"{statistics.median(times):.0f} ms"
    record_property("browser", row)
    name = f"{explorer.page.path.stem[:2]}-{explorer.name}-{control}.png"
    explorer.area.screenshot(path=artefacts / name)
    assert not explorer.page.complaints()
    if not isinstance(c, Button):
        explorer.set(**{c.name: c.value})
        assert statistics.median(times) < SLOWEST


# --- an exercise ----------------------------------------------------------------------


@pytest.mark.parametrize("notebook", [NOTEBOOKS["01"]], ids=["01"], indirect=True)
def test_an_exercise_is_solved_by_typing(notebook, artefacts, record_property):
    page = notebook.page
    exercise = rooms.read(nbformat.read(notebook.path, as_version=4))[0][0]
    cells = page.locator(".jp-Notebook .jp-Cell")
    source, check = cells.nth(exercise.cell), cells.nth(exercise.check)
    assert "not attempted yet" in check.text_content()
    source.locator(".cm-content").click()
    page.keyboard.press("Control+a")
    lines = exercise.solution.rstrip().split("\n")
    for k, line in enumerate(lines):
        if k:
            page.keyboard.press("Enter")
            page.keyboard.press("Shift+Home")  # the editor indents as it likes
        page.keyboard.type(line)
    assert notebook.source(exercise.cell) == "\n".join(lines)
    page.keyboard.press("Shift+Enter")
    page.keyboard.press("Shift+Enter")
    verdict = check.get_by_text("✓ passed")
    verdict.wait_for()
    green = verdict.evaluate("e => getComputedStyle(e).backgroundColor")
    assert green == "rgb(26, 127, 69)"
    check.screenshot(path=artefacts / "01-exercise.png")
    assert not notebook.complaints()
    row = (notebook.path.stem, "an exercise, typed", f"{len(lines)} lines", "passed")
    record_property("browser", row)
