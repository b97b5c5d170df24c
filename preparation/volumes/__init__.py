"""CT volumes and slices."""
