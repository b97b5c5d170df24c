"""Drawn chest films as DICOM files."""
