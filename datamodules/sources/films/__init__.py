"""Chest films and other pictures: from DICOM, PNG, JPEG or MedMNIST files to a film cache."""
