"""Two domains of images without pairs."""
