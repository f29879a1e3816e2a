"""What belongs to notebook 06, and to no other."""
