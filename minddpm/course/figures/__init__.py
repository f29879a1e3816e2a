"""Figures that belong to one notebook alone: `f01`, `f02`, …, as in `plots`."""
