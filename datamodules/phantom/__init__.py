"""The built-in anatomy: images that are nobody's."""
