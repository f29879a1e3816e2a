"""What belongs to notebook 08, and to no other."""
