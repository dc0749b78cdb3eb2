"""What only this repository needs."""
