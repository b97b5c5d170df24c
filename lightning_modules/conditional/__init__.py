"""Networks against each other on pairs of a condition and an image."""
