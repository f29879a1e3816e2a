"""`doctor()`: does this machine have what the course needs, and if not, what to do."""

import html
import importlib
import math
import os
import re
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from minddpm.course.kit import cores

# what the course imports, by the name of its distribution; JupyterLab is only started
_PACKAGES = {
    "torch": "torch",
    "torchvision": "torchvision",
    "numpy": "numpy",
    "matplotlib": "matplotlib",
    "ipywidgets": "ipywidgets",
    "jupyterlab": None,
    "scikit-learn": "sklearn",
    "tqdm": "tqdm",
    "safetensors": "safetensors",
}
_COLOURS = {"✓": "#1a7f45", "~": "#8a5300", "✗": "#b3261e"}


class Finding(NamedTuple):
    """One line of a diagnosis.

    Attributes:
        name: what was looked at.
        ok: whether it is as it should be.
        found: what is there.
        cure: what to do, in one line; empty where nothing is. With `ok` it is advice.
    """

    name: str
    ok: bool
    found: str
    cure: str = ""

    @property
    def sign(self) -> str:
        """✓ for well, ~ for well with advice, ✗ for something to mend."""
        return ("~" if self.cure else "✓") if self.ok else "✗"


@dataclass(frozen=True, repr=False)
class Diagnosis:
    """What `doctor` found; shows itself as text, and as HTML in a notebook.

    Attributes:
        findings: one for each thing that was looked at.
    """

    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether everything is as it should be."""
        return all(finding.ok for finding in self.findings)

    @property
    def verdict(self) -> str:
        """The findings in one sentence."""
        if self.ok:
            return "✓ This machine is ready for the course."
        wrong = [finding.name for finding in self.findings if not finding.ok]
        return f"✗ {len(wrong)} to mend: {', '.join(wrong)}."

    def __str__(self) -> str:
        lines = []
        for finding in self.findings:
            lines.append(f"{finding.sign} {finding.name:<14}{finding.found}")
            if finding.cure:
                lines.append(f"  {'':<14}→ {finding.cure}")
        return "\n".join([*lines, self.verdict])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = []
        for finding in self.findings:
            _, _, found, cure = map(html.escape, map(str, finding))
            # a colour only where it brings its own background: any theme may be around
            badge = f"background: {_COLOURS[finding.sign]}; color: white"
            cells = [
                f'<span style="{badge}; padding: 0 5px">{finding.sign}</span>',
                f"<b>{html.escape(finding.name)}</b>",
                found + (f"<br>→ <code>{cure}</code>" if cure else ""),
            ]
            left = '<td style="text-align: left">'
            rows.append(f"<tr>{''.join(f'{left}{cell}</td>' for cell in cells)}</tr>")
        return f"<table>{''.join(rows)}</table><b>{html.escape(self.verdict)}</b>"


class _Ill(Exception):
    """Something is not as it should be; holds what was found, and the cure."""

    def __init__(self, found: str, cure: str) -> None:
        super().__init__(found, cure)


def doctor() -> Diagnosis:
    """Look at Python, packages, device, widgets and data, and train for one step.

    It never raises: what fails becomes a finding with its cure. It needs no network.

    Returns:
        The diagnosis; `.ok` says whether everything is as it should be.
    """
    found = [_look("Python", _python), _look("minddpm", _minddpm)]
    found += [_look(name, partial(_package, name)) for name in _PACKAGES]
    found += [
        _look("device", _device, "set MINDDPM_DEVICE=cpu to work without a GPU"),
        _look("threads", _threads),
        _look("widgets", _widgets),
        _look("data root", _data_root, "set MINDDPM_DATA to a folder of yours"),
        _look("digits", _digits, 'python -m pip install "scikit-learn"'),
        _look("training", _training, "set MINDDPM_DEVICE=cpu and try again"),
    ]
    room = "set TMPDIR to a folder that you may write to"
    scratch = _look("TMPDIR", tempfile.gettempdir, room)
    return Diagnosis((*found, *(() if scratch.ok else (scratch,))))


def _look(
    name: str,
    look: Callable[[], str | tuple[str, str]],
    cure: str = "see the README, section Start",
) -> Finding:
    """Make a finding of what `look` returns, alone or with advice, or raises."""
    try:
        found = look()
        return Finding(name, True, *((found,) if isinstance(found, str) else found))
    except _Ill as ill:
        return Finding(name, False, *ill.args)
    except (Exception, SystemExit) as error:
        return Finding(name, False, _short(error), cure)


def _short(error: BaseException) -> str:
    """Put an error into one line."""
    return textwrap.shorten(f"{type(error).__name__}: {error}", 120, placeholder=" …")


def _python() -> str:
    found = ".".join(map(str, sys.version_info[:3]))
    try:
        least = metadata.metadata("minddpm")["Requires-Python"].removeprefix(">=")
    except (metadata.PackageNotFoundError, AttributeError):
        return found
    if _numbers(found) < _numbers(least):
        raise _Ill(f"{found}, too old", f"install Python {least} or newer")
    return found


def _minddpm() -> str:
    where = _place(Path(__file__).resolve().parents[2])
    try:
        return f"{metadata.version('minddpm')}, in {where}"
    except metadata.PackageNotFoundError:
        return f"not installed, used from {where}"


def _package(name: str) -> str:
    """Return the version of a package if it is new enough and can be imported."""
    least = _bounds().get(name)
    install = f'python -m pip install "{name}{f">={least}" if least else ""}"'
    try:
        found = metadata.version(name)
    except metadata.PackageNotFoundError:
        if name == "jupyterlab" and _in_colab():
            return "missing, and not needed in Colab"
        raise _Ill("missing", install) from None
    if least and _numbers(found) < _numbers(least):
        raise _Ill(f"{found}, older than {least}", install)
    if module := _PACKAGES[name]:
        try:
            importlib.import_module(module)
        except Exception as error:  # such as a torchvision made for another torch
            cure = f"python -m pip install --force-reinstall {name}"
            if name == "torchvision":
                cure += " torch"
            raise _Ill(f"{found} fails: {_short(error)}", cure) from None
    return found


def _bounds() -> dict[str, str]:
    """Return the least version that minddpm asks for, by package."""
    try:
        lines = metadata.requires("minddpm") or []
    except metadata.PackageNotFoundError:
        return {}
    parsed = (re.match(r"([\w.-]+)\s*>=\s*([\d.]+)[^;]*$", line) for line in lines)
    return {match[1].lower(): match[2] for match in parsed if match}


def _numbers(version: str) -> tuple[int, ...]:
    """Return the numbers that a version starts with: (2, 11, 0) for 2.11.0+cpu."""
    start = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, start[0].split("."))) if start else ()


def _device() -> str:
    from minddpm.device import default_device

    device = default_device()
    if device.type != "cuda":
        return str(device)
    import torch

    return f"{device} ({torch.cuda.get_device_name(device)})"


def _threads() -> tuple[str, str]:
    """Compare PyTorch's threads with the cores that others leave to them."""
    import torch

    threads, mine, free = torch.get_num_threads(), cores.usable(), cores.free()
    found = f"{threads} used by PyTorch, {mine:g} {'core' if mine == 1 else 'cores'}"
    if threads <= free + 0.5:
        return found, ""
    found += f", of which {free:.1f} free"
    if threads == 1:
        return found, "training takes longer; end other notebooks and programs"
    return found, "torch.set_num_threads(1), or OMP_NUM_THREADS=1 before Python starts"


def _in_colab() -> bool:
    return "google.colab" in sys.modules


def _widgets() -> str:
    """Say what will draw the widgets, as far as Python can know."""
    try:
        version = metadata.version("ipywidgets")
    except metadata.PackageNotFoundError:
        raise _Ill("ipywidgets is missing", _cure_widgets()) from None
    series = f"ipywidgets {version.partition('.')[0]}"
    if _in_colab():
        if _numbers(version) >= (8,):
            raise _Ill(f"Colab cannot draw {series}", _cure_widgets())
        return f"{series} in Colab"
    if not cores.in_kernel():
        return f"{series}, but no notebook here to show them"
    return f"{series} in Jupyter"


def _cure_widgets() -> str:
    wanted = "ipywidgets==7.7.1" if _in_colab() else "ipywidgets>=7.7.1"
    return f'%pip install "{wanted}", then restart the kernel'


def _place(path: Path) -> str:
    """Write a path from here, or from the user's home: no name of a machine in it."""
    home = Path(os.path.expanduser("~"))  # stays "~" where nobody knows it
    for start, sign in ((Path.cwd(), "."), (home, "~")):
        if path.is_relative_to(start):
            return str(Path(sign) / path.relative_to(start))
    return os.path.relpath(path)


def _data_root() -> str:
    from minddpm import data

    root = data.data_root()
    if root.is_dir():
        return _place(root)
    parent = next(folder for folder in root.absolute().parents if folder.exists())
    if not (parent.is_dir() and os.access(parent, os.W_OK)):
        cure = "set MINDDPM_DATA to a folder that you may write to"
        raise _Ill(f"{_place(root)} cannot be made", cure)
    return f"{_place(root)} (made when something is downloaded)"


def _digits() -> str:
    from minddpm import data

    images, _ = data.load("digits")
    shape = "×".join(map(str, images.shape[1:]))
    return f"{len(images):,} pictures of {shape}"


def _training() -> str:
    """Take one step of training on the chosen device."""
    import torch

    from minddpm.ddpm import DDPM
    from minddpm.device import default_device
    from minddpm.nets import MLP

    start = time.perf_counter()
    with torch.random.fork_rng(devices=[]):  # weights are drawn on the CPU
        model = DDPM(MLP(dim=2), n_T=10, device=default_device())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    before = torch.cat([p.detach().flatten() for p in model.parameters()])
    generator = torch.Generator().manual_seed(0)
    x0 = torch.randn(64, 2, generator=generator).to(model.device)
    loss = model(x0, generator=generator)
    loss.backward()
    optimizer.step()
    after = torch.cat([p.detach().flatten() for p in model.parameters()])
    value = loss.item()
    if not math.isfinite(value) or torch.equal(before, after):
        cure = "set MINDDPM_DEVICE=cpu and try again"
        raise _Ill(f"a step with loss {value} left the weights as they were", cure)
    return f"one step, {time.perf_counter() - start:.2f} s"
