"""A synthetic set, while it is made."""
