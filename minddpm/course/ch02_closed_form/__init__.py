"""What belongs to notebook 02, and to no other."""
