"""What belongs to notebook 05, and to no other."""
