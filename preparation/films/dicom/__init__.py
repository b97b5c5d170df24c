"""DICOM films: header, pixels, grey values, and the commands that prepare them."""
