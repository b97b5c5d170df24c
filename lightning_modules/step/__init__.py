"""What a training step of every method is made of, and what is checked before the first one."""
