"""Models handed on in formats that others read."""
