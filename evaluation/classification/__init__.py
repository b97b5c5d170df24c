"""A classifier, scored."""
