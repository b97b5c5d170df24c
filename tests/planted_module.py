"""A module whose import leaves a file: planted wherever a file from others could name it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAMES = ("planted", "networks_planted", "datamodules_planted", "lightning_modules_planted")
_TEXT = """
from pathlib import Path
import lightning, torch
Path({mark!r}).write_text("imported")
class Network(torch.nn.Module):
    def __init__(self, *words, **settings):
        super().__init__()
class Module(lightning.LightningModule):
    pass
class Data(lightning.LightningDataModule):
    pass
class Watcher(lightning.Callback):
    pass
def make(*words: int, **settings: int) -> torch.nn.Module:
    Path({mark!r}).write_text("called")
    return Network()
"""


@contextmanager
def planted(folder: Path) -> Iterator[Path]:
    """Modules of these names can be imported inside; yields the file that they leave then."""
    mark = folder / "it_ran"
    modules = folder / "modules"
    modules.mkdir()
    for name in NAMES:
        (modules / f"{name}.py").write_text(_TEXT.format(mark=str(mark)))
    sys.path.insert(0, str(modules))
    try:
        yield mark
    finally:
        sys.path.remove(str(modules))
        for name in NAMES:
            sys.modules.pop(name, None)
