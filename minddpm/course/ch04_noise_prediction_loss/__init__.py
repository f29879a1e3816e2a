"""What belongs to notebook 04, and to no other."""
