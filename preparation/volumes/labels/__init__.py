"""Labels: what the values of masks and the folders of masks mean."""
