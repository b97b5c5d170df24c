"""Transforms of one sample and of a batch."""
