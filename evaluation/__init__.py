"""A checkpoint or a set of images, scored."""
