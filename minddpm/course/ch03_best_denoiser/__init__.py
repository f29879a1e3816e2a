"""What belongs to notebook 03, and to no other."""
