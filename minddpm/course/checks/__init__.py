"""Checks of the exercises: `check_<what>(your_function)` gives a `Report`."""

from minddpm.course.checks.c00_start_here import check_signal_and_noise
from minddpm.course.checks.report import Report

__all__ = ["Report", "check_signal_and_noise"]
