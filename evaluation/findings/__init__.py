"""A classifier of several findings scored: each by itself, and their mean."""
