"""The gallery of augmentations: every operation and every preset, on images of one's own."""
