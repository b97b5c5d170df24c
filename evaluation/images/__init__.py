"""A synthetic set beside real images."""
