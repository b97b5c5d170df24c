"""Prepared caches, synthetic sets, and the Lightning datamodules that make batches of them."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datamodules.chest_xray import ChestXrayDataModule
    from datamodules.kits19 import KiTS19DataModule
    from datamodules.unpaired.datamodule import UnpairedDataModule

__all__ = ["ChestXrayDataModule", "KiTS19DataModule", "UnpairedDataModule"]


def __getattr__(name: str) -> Any:
    """Import a datamodule when it is asked for: drawing or reading volumes needs no torch."""
    if name == "ChestXrayDataModule":
        from datamodules.chest_xray import ChestXrayDataModule

        return ChestXrayDataModule
    if name == "KiTS19DataModule":
        from datamodules.kits19 import KiTS19DataModule

        return KiTS19DataModule
    if name == "UnpairedDataModule":
        from datamodules.unpaired.datamodule import UnpairedDataModule

        return UnpairedDataModule
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
