"""Films as image files in a folder: how they are found, and the command that prepares them."""
