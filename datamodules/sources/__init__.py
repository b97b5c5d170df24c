"""Raw files (NIfTI, DICOM, PNG) into cached arrays."""
