"""What the chapters share: exercises, panels, canvas, plots, and the doctor."""
