"""What belongs to notebook 01, and to no other."""
