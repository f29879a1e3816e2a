"""What belongs to notebook 07, and to no other."""
