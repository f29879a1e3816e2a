"""An explorer in the page: its controls, its picture, and what they should show."""

import base64
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from nbformat import NotebookNode

from browser import lab
from minddpm import Step
from minddpm.course import explorers
from minddpm.course.kit.controls import Button, Choice, Control, Slider, Toggle

# In the page: when a key was pressed last, and when the picture was new last. What is
# only written below the picture counts where the picture stays as it is.
WATCH = """(area) => {
    const watch = window.watch = {pressed: 0, shown: 0, picture: '', text: ''};
    const look = () => {
        const img = area.querySelector('img');
        const text = area.querySelector('[role=status]')?.textContent;
        if (!img || text === undefined) return;
        const fresh = img.src !== watch.picture;
        if (!fresh && text === watch.text) return;
        [watch.picture, watch.text] = [img.src, text];
        if (fresh) img.decode().then(() => { watch.shown = performance.now(); });
        else if (watch.shown < watch.pressed) watch.shown = performance.now();
    };
    area.addEventListener(
        'keydown', () => { watch.pressed = performance.now(); }, true);
    new MutationObserver(look).observe(area,
        {subtree: true, childList: true, attributes: true, characterData: true});
    look();
}"""
SHOWS = "([picture, text]) => watch.picture === picture && watch.text === text"

# In the page: the area, once it has kept its place for ten frames.
RESTS = """area => new Promise(rests => {
    let place = '', frames = 0;
    const look = () => {
        const now = JSON.stringify(area.getBoundingClientRect());
        frames = now === place ? frames + 1 : 0;
        place = now;
        frames < 10 ? requestAnimationFrame(look) : rests();
    };
    look();
})"""
CUT = "box => box.scrollWidth > box.clientWidth"

FOCUSED = {"expression": "document.activeElement"}


class Explorer:
    """The one explorer of a notebook that has been run.

    Args:
        page: the notebook.
        folder: an empty one, for what the kernel hands over.

    Attributes:
        name: such as "schedule".
        module: where it lives in the package.
        controls: by name.
        settings: what the controls are set to, as far as the tests know.
        run: what its button gave; None before.
        area: all of it, in the page.
    """

    def __init__(self, page: lab.Page, folder: Path) -> None:
        self.page, self.name = page, name_in(page.cells)
        self.module = home(self.name)
        self.draw, controls = self.module.draw, self.module.CONTROLS
        if self.name == "stored_run":  # it shows what the notebook has sampled
            path = folder / "steps.pt"
            page.execute(
                "__import__('torch').save([tuple(step) for step in steps], "
                f"{str(path)!r})"
            )
            film = self.module.Film([Step(*row) for row in torch.load(path)])
            self.draw, controls = film.draw, film.controls
        self.controls: dict[str, Control] = {c.name: c for c in controls}
        self.settings = {c.name: c.value for c in controls if not isinstance(c, Button)}
        self.results = {c.name: None for c in controls if isinstance(c, Button)}
        cell = page.page.locator(".jp-CodeCell", has_text=f"{self.name}_explorer(")
        self.area = cell.locator(".jp-Cell-outputArea", has=page.page.locator("img"))
        self.area.scroll_into_view_if_needed()
        self.area.evaluate(WATCH)

    # --- what it should show ----------------------------------------------------------

    def expected(self) -> tuple[str, str]:
        """Return the picture, as an address, and the text: the package's own."""
        result = self.draw(**self.settings, **self.results)
        picture = "data:image/png;base64," + base64.b64encode(result.png).decode()
        return picture, result.status + result.warning

    def shown(self) -> tuple[str, str]:
        """Return the same, as it is in the page."""
        return tuple(self.page.page.evaluate("[watch.picture, watch.text]"))

    def arrives(self, due: tuple[str, str] | None = None) -> None:
        """Wait until the page shows what it should, or say what it shows instead.

        Args:
            due: as from `expected`, where the time counts; None asks it now, while the
                kernel draws the same.
        """
        from playwright.sync_api import TimeoutError as TooLate

        picture, text = due or self.expected()
        how = {"timeout": 1000 * lab.ACT, "polling": 50}
        try:
            self.page.page.wait_for_function(SHOWS, arg=[picture, text], **how)
        except TooLate:
            now = self.shown()
            assert now[1] == text, self.settings
            assert now[0] == picture, f"{self.settings}: the picture is another one"
            raise

    def milliseconds(self) -> float:
        """Return the time from the last key to the picture that followed."""
        self.page.page.wait_for_function("watch.shown >= watch.pressed", polling=50)
        return self.page.page.evaluate("watch.shown - watch.pressed")

    # --- its controls -----------------------------------------------------------------

    def find(self, c: Control) -> Any:
        """Return a control by its role and name; of a slider, the box of its number."""
        return self.role(self.kind(c), c.label)

    @staticmethod
    def kind(c: Control) -> str:
        """Return the role of what has the control's name."""
        roles = {Slider: "spinbutton", Choice: "combobox", Toggle: "checkbox"}
        return roles.get(type(c), "button")

    def walk(self) -> list[tuple[str, str]]:
        """Press Tab from the cell's text on, until the explorer lies behind.

        Returns:
            Role and name of each stop in it, as a screen reader is told.
        """
        page = self.page.page
        cell = self.area.locator("xpath=ancestor::*[contains(@class, 'jp-CodeCell')]")
        cell.locator(".cm-content").click()
        page.keyboard.press("Escape")
        inside = "area => area.contains(document.activeElement)"
        stops: list[tuple[str, str]] = []
        tree = self.page.context.new_cdp_session(page)
        for _ in range(100):
            page.keyboard.press("Tab")
            if self.area.evaluate(inside):
                here = tree.send("Runtime.evaluate", FOCUSED)["result"]["objectId"]
                node = tree.send("Accessibility.getPartialAXTree", {"objectId": here})
                node = node["nodes"][0]
                stops.append((node["role"]["value"], node["name"]["value"]))
            elif stops:
                tree.detach()
                return stops
        raise AssertionError(f"Tab does not get through the explorer: {stops}")

    def role(self, role: str, name: str) -> Any:
        """Return what has this role and exactly this name."""
        return self.area.get_by_role(role, name=name, exact=True)

    def number(self, c: Slider) -> float:
        """Return what the box of a slider says."""
        whole = all(isinstance(value, int) for value in c.values)
        return (int if whole else float)(self.find(c).input_value())

    def highest(self, c: Slider) -> float:
        """Return the end of a slider, as another one may have moved it."""
        limit = c.values[-1]
        return min(limit, self.settings[c.at_most]) if c.at_most else limit

    def set(self, **values: Any) -> None:
        """Set controls, in this order, and wait for the picture."""
        for name, value in values.items():
            c = self.controls[name]
            if self.settings[name] == value:
                continue
            control = self.find(c)
            if isinstance(c, Slider):
                control.fill(str(value))
                control.blur()
            elif isinstance(c, Toggle):
                control.set_checked(value)
            else:
                control.select_option(str(value))
            self.now(c, value)
            self.arrives()

    def now(self, c: Control, value: Any) -> None:
        """Take note that a control has this value, and what follows for the others."""
        self.settings[c.name] = value
        for other in self.controls.values():
            if isinstance(other, Slider) and other.at_most == c.name:
                self.settings[other.name] = min(self.settings[other.name], value)


def name_in(cells: list[NotebookNode]) -> str | None:
    """Return the name of the explorer that a notebook ends a cell with, or None."""
    for cell in cells:
        if found := re.search(r"^(\w+)_explorer\(.*\)\Z", cell.source, re.MULTILINE):
            return found[1]
    return None


def home(name: str) -> ModuleType:
    """Return the module of an explorer."""
    return sys.modules[getattr(explorers, f"{name}_explorer").__module__]
