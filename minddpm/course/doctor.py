"""Where notebooks saved before 2027 look for `doctor`."""

from minddpm.course.kit.diagnosis import doctor

__all__ = ["doctor"]
