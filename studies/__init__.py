"""Tables of runs: scenarios x models x seeds, their statistics and their report."""
