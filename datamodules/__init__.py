"""Lightning datamodules, and what turns raw files into the caches that they read."""

from datamodules.kits19 import KiTS19DataModule

__all__ = ["KiTS19DataModule"]
