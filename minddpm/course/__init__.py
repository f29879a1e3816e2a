"""What the notebooks need around the package: plots, exercise checks, explorers."""
