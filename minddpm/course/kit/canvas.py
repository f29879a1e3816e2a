"""Fast drawing for explorers: a figure whose background is drawn once.

An explorer redraws at every move of a slider, and most of the time that a figure takes
goes into axes, ticks and labels. They stay as they are here. Only artists made with
`animated=True` are drawn anew, over a stored picture of the rest.

    with house_style():
        canvas = Canvas(height=3.0)
        ax = canvas.figure.subplots()
        ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="t/T")
        (line,) = ax.plot([], [], animated=True)
    line.set_data([0, 1], [0, 1])
    png = canvas.png()
"""

import struct
import zlib
from dataclasses import dataclass

import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from minddpm.course.kit.plots import WIDTH, house_style

DPI = 100


@dataclass(frozen=True)
class Picture:
    """What an explorer shows for one setting of its controls.

    Attributes:
        png: the picture.
        alt: what is to be seen, for readers who cannot see it; no numbers.
        status: the numbers, in a line or two below the picture.
        warning: what goes wrong with this setting, in a sentence; shown in red.
    """

    png: bytes
    alt: str
    status: str
    warning: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """Return width and height in pixels, as the PNG's header has them."""
        width, height = struct.unpack(">II", self.png[16:24])
        return width, height


class Canvas:
    """A figure that no pyplot knows of, and its pixels.

    Add axes and artists to `figure`; those that change, with `animated=True`. From the
    first `png()` on, everything else is fixed: limits, titles, ticks, the layout.

    Args:
        height: in inches; the width is that of all figures of the course.
    """

    def __init__(self, height: float) -> None:
        self.figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")
        self._agg = FigureCanvasAgg(self.figure)
        self._moving: list[Artist] | None = None

    def png(self) -> bytes:
        """Draw the animated artists over the background.

        Returns:
            The picture as a PNG of WIDTH × height inches at DPI.
        """
        if self._moving is None:
            self._moving = self._draw_background()
        self._agg.restore_region(self._background)
        for artist in self._moving:
            self.figure.draw_artist(artist)
        return _encode(np.asarray(self._agg.buffer_rgba()))

    def _draw_background(self) -> list[Artist]:
        """Draw and keep what does not move; return what does, from back to front."""
        moving = self.figure.findobj(lambda artist: artist.get_animated())
        for artist in moving:  # or the layout would depend on what is drawn first
            artist.set_in_layout(False)
        with house_style():  # ticks are born only now
            self._agg.draw()
        self.figure.set_layout_engine("none")
        self._background = self._agg.copy_from_bbox(self.figure.bbox)
        return sorted(moving, key=lambda artist: artist.get_zorder())


def _encode(rgba: np.ndarray) -> bytes:
    """Write (H, W, 4) bytes as an opaque PNG, in a third of a library's time.

    Libraries first take the differences between neighbouring pixels, which pays for
    photographs and not for figures on white.
    """
    height, width, _ = rgba.shape
    rows = np.zeros((height, 1 + 3 * width), np.uint8)  # a row starts with 0, as it is
    for colour in range(3):
        rows[:, 1 + colour :: 3] = rgba[:, :, colour]
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits a colour
    chunks = [b"IHDR" + header, b"IDAT" + zlib.compress(rows.data, 1), b"IEND"]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        for chunk in chunks
    )
