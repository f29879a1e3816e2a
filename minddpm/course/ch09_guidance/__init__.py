"""What belongs to notebook 09, and to no other."""
