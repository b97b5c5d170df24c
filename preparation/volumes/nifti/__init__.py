"""Volumes as NIfTI files."""
