"""How long each explorer takes to redraw, PNG included, over random settings.

    python benchmarks/explorers.py [schedule …] [--draws 200]

What counts is one core: 15 ms feel like at once. Timings are of the machine at hand.
"""

import argparse
import random
import statistics
import sys
import time
from types import ModuleType
from typing import Any

from minddpm.course.contents import all_explorers
from minddpm.course.kit.controls import Button, Choice, Control, Slider


def value(control: Control, rng: random.Random) -> Any:
    """Return any value that a control allows; what a button makes is left out."""
    if isinstance(control, Slider):
        return rng.choice(control.values)
    if isinstance(control, Button):
        return None
    return rng.choice(control.options if isinstance(control, Choice) else (False, True))


def settings(module: ModuleType, rng: random.Random) -> dict[str, Any]:
    """Return random settings within the limits that controls set each other."""
    found = {c.name: value(c, rng) for c in module.CONTROLS}
    for c in module.CONTROLS:
        if isinstance(c, Slider) and c.at_most:
            found[c.name] = min(found[c.name], found[c.at_most])
    return found


def measure(module: ModuleType, draws: int) -> tuple[float, list[float], float]:
    """Return milliseconds of the first draw and of all others, and KiB of a PNG."""
    rng = random.Random(0)
    begin = {c.name: getattr(c, "value", None) for c in module.CONTROLS}
    start = time.perf_counter()
    size = len(module.draw(**begin).png)
    first = 1e3 * (time.perf_counter() - start)
    times: list[float] = []
    while len(times) < draws:
        now = settings(module, rng)
        start = time.perf_counter()
        try:
            module.draw(**now)
        except ValueError:  # a setting that is refused, with a reason
            continue
        times.append(1e3 * (time.perf_counter() - start))
    return first, sorted(times), size / 1024


def main() -> None:
    """Print a line for each explorer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="all, if none is named")
    parser.add_argument("--draws", type=int, default=200)
    arguments = parser.parse_args()
    print(
        f"{'explorer':20} {'median ms':>10} {'95 % ms':>10} {'first ms':>10} {'KiB':>5}"
    )
    for function, explorer in all_explorers():
        name = function.removesuffix("_explorer")
        if name in (arguments.names or [name]):
            module = sys.modules[explorer.__module__]
            first, times, size = measure(module, arguments.draws)
            print(
                f"{name:20} {statistics.median(times):10.1f} "
                f"{times[int(0.95 * len(times))]:10.1f} {first:10.0f} {size:5.0f}"
            )


if __name__ == "__main__":
    main()
