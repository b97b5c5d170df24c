"""What a reader sees: sheets of images, figures, numbers."""
