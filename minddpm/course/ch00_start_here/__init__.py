"""What belongs to notebook 00, and to no other."""
