"""A DICOM film: header, pixels, grey values."""
