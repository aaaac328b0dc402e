"""One call from a live model and its data to what is wrong, why, and what a repair does."""
