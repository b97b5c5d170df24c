"""MedMNIST: its array files, and the command that prepares their films."""
