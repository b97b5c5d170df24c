"""Rules that the numbers of an evaluation must satisfy, such as a lab's own for its sets."""
