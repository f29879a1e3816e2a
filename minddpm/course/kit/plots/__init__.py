"""The figures of the course: one call, one figure, in one style.

Every function draws and returns None. In a notebook its figure appears once, below the
cell, wherever in the cell the call stands. `ax` draws into a figure of your own; to
save a figure, or add to it, use matplotlib's `plt` in the same cell. The style holds
inside these functions only: matplotlib's settings stay as they are.
"""

from minddpm.course.kit.plots.cards import plot_course_map, plot_notation
from minddpm.course.kit.plots.curves import plot_loss, plot_points, plot_schedules
from minddpm.course.kit.plots.pictures import (
    plot_class_grid,
    plot_film_strip,
    plot_images,
)
from minddpm.course.kit.plots.style import COLOURS, STYLE, WIDTH, house_style

__all__ = [
    "COLOURS",
    "STYLE",
    "WIDTH",
    "house_style",
    "plot_class_grid",
    "plot_course_map",
    "plot_film_strip",
    "plot_images",
    "plot_loss",
    "plot_notation",
    "plot_points",
    "plot_schedules",
]
