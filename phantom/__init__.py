"""Built-in anatomy: images that are nobody's."""
