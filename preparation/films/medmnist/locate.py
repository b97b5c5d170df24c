"""Where a MedMNIST file lies, and what its classes are called."""

import os
import re
from pathlib import Path
from typing import Any

from provenance import UserError

SET_NAME = re.compile(r"([a-z]+mnist(?:3d)?)((?:_(?:64|128|224))?)")


def locate_medmnist(name_or_path: str, download: bool) -> tuple[Path, tuple[str, ...] | None]:
    """Return where a MedMNIST file lies, and the names of its classes.

    Args:
        name_or_path: A path, taken as it is; or a name such as `pneumoniamnist` (28x28 pixels) or
            `pneumoniamnist_224`, looked for where the package `medmnist` keeps its files.
        download: Fetch a file that is missing there, at the package's address and checksum.

    Returns:
        The path, and the names by class number; None where the package is not installed, does not
        know the file's name, or the set has several findings per film.

    Raises:
        UserError: Nothing of that name is there, or it could not be downloaded.
    """
    path = Path(name_or_path)
    named = SET_NAME.fullmatch(path.stem if path.exists() else name_or_path)
    try:
        from medmnist.info import DEFAULT_ROOT, INFO
    except ImportError:
        if path.exists():
            return path, None
        raise UserError(
            f"{name_or_path}: there is no such file, and names are looked up by the package "
            "medmnist, which is not installed. pip install medmnist, or give the path of the .npz."
        ) from None
    info = INFO.get(named[1]) if named else None
    if path.exists():
        return path, _class_names(info)
    if named is None or info is None or named[1].endswith("3d"):
        flat = ", ".join(name for name in INFO if not name.endswith("3d"))
        raise UserError(
            f"{name_or_path}: there is no such file, and no such set among MedMNIST's ({flat}, "
            "each also with _64, _128 or _224 after it)."
        )
    expected = Path(DEFAULT_ROOT or ".", f"{name_or_path}.npz")
    if not expected.is_file():
        if not download:
            raise UserError(
                f"{expected}: is not there. Pass --download true to fetch it from "
                f"{info[f'url{named[2]}']}, or put it there yourself."
            )
        _download(info[f"url{named[2]}"], info[f"MD5{named[2]}"], expected)
    return expected, _class_names(info)


def _class_names(info: dict[str, Any] | None) -> tuple[str, ...] | None:
    if info is None or info["task"].startswith("multi-label"):
        return None
    return tuple(info["label"][str(number)] for number in range(len(info["label"])))


def _download(url: str, md5: str, path: Path) -> None:
    from torchvision.datasets.utils import download_url

    part = path.with_name(f"{path.name}.part")
    try:
        download_url(url, str(path.parent), part.name, md5)
        os.replace(part, path)
    except Exception as error:
        part.unlink(missing_ok=True)
        raise UserError(
            f"{url}: could not be downloaded ({error or type(error).__name__}). Fetch it by other "
            f"means and save it as {path}."
        ) from error
