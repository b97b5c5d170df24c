"""Numbers about images and predictions."""
