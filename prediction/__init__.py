"""New images, of which nobody knows the answer: called by a trained classifier or segmenter."""
