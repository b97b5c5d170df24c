"""From raw files to a cache."""
