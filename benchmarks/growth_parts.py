"""What `growth.py` measures: everything that meets a data set, a set of images or a study whole.

A part makes its inputs in a folder, and does its work there. Work that depends on pixels alone,
such as a training step, does not grow with a data set and is not here.
"""

import contextlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks import growth_inputs as inputs
from benchmarks import growth_studies as studies

DECADES = (1000, 10_000, 100_000)
TABLES = (10_000, 100_000, 1_000_000)
"""Of what holds rows and no images."""

_NEAR_COPIES = 100  # one film in so many is a copy of another


@dataclass(frozen=True)
class Part:
    """One thing that is measured.

    Attributes:
        what: In words, for the table.
        make: Makes the inputs of so many items in a folder.
        do: What is measured.
        sizes: At which.
    """

    what: str
    make: Callable[[Path, int], object]
    do: Callable[[Path, int], object]
    sizes: tuple[int, ...] = DECADES


@contextlib.contextmanager
def unheard() -> Iterator[None]:
    """What verbs print is not the measurement's."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def _prepare(*words: object) -> None:
    import prepare

    with unheard():
        status = prepare.main([str(word) for word in words])
    if status:
        raise SystemExit(f"prepare.py {words[0]}: status {status}")


def _prepare_films(folder: Path, count: int) -> None:
    _prepare(
        "image_folder", "--source", folder / "films", "--labels", folder / "labels.csv",
        "--patient-column", "patient", "--image-size", inputs.SIDE, "--clahe", "none",
        "--out", folder / "cache",
    )  # fmt: skip


def _prepare_slices(folder: Path, count: int) -> None:
    _prepare(
        "kits19", "--source", folder / "volumes", "--out", folder / "cache",
        "--image-size", inputs.SIDE, "--keep-patient-names",
    )  # fmt: skip


def _make_outside(folder: Path, count: int) -> None:
    inputs.write_pictures(folder, count)
    inputs.write_film_cache(folder / "cache", 1000)


def _prepare_synthetic(folder: Path, count: int) -> None:
    _prepare(
        "synthetic", "--source", folder / "films", "--trained-on", folder / "cache",
        "--out", folder / "set",
    )  # fmt: skip


def _verify(folder: Path, count: int) -> None:
    _prepare("verify", folder)


def _divide(folder: Path, patients: int) -> None:
    """Divide patients, one in ten of whom shares an image with another."""
    from preparation.copies import joined
    from preparation.split import Split, moves, own_keys, split_id
    from preparation.split_notes import check_no_split_is_empty, warn_of_small_splits

    names = [f"patient_{number:012x}" for number in range(patients)]
    together = joined(zip(names[::20], names[10::20], strict=False))
    split, keys = Split(), own_keys(names)
    drawn = split.divide(keys, together)
    check_no_split_is_empty(split, keys, together)
    warn_of_small_splits(split, keys, together)
    moves(split, keys, drawn, (name for group in together for name in group))
    split_id(drawn.items())


def _make_hashes(folder: Path, films: int) -> None:
    random = np.random.default_rng(0)
    hashes = random.integers(0, 2**63, films, dtype=np.uint64)
    copied = np.arange(0, films // _NEAR_COPIES * _NEAR_COPIES, _NEAR_COPIES)
    hashes[copied] = hashes[copied + 1] ^ np.uint64(0b1001)
    np.save(folder / "hashes.npy", hashes)


def _find_duplicates(folder: Path, films: int) -> None:
    from preparation.films.duplicates import find_duplicates

    pixels = [f"{number:064x}" for number in range(films)]
    kept = [inputs.drawn(number, 64) for number in range(64)]
    found = find_duplicates(pixels, np.load(folder / "hashes.npy"), lambda i: kept[i // 2 % 64])
    if len(found.near) < films // _NEAR_COPIES // 2:
        raise SystemExit("copies were not found")


def _open_films(folder: Path, count: int) -> None:
    from datamodules.film_cache import FilmCache

    cache = FilmCache.open(folder)
    if len(cache) != count or cache.pixel_hashes is None:
        raise SystemExit("another cache")


def _make_films_and_set(folder: Path, count: int) -> None:
    inputs.write_film_cache(folder / "cache", count)
    inputs.write_synthetic_set(folder / "set", count)


def _first_batch(datamodule: Any) -> None:
    """What train.py does with a datamodule before its first step, and its first batch."""
    import torch

    module = SimpleNamespace(steps_done=0)
    strategy = SimpleNamespace(root_device=torch.device("cpu"))
    datamodule.trainer = SimpleNamespace(
        lightning_module=module, global_rank=0, world_size=1, strategy=strategy, training=True
    )
    with unheard():
        datamodule.setup("fit")
    datamodule.licences()
    datamodule.also_seen().plain()
    datamodule.cache.knowledge(datamodule.cache.indices("train")).plain()
    datamodule.cache.packed_pixels()
    next(iter(datamodule.train_dataloader()))
    next(iter(datamodule.val_dataloader()))


def _start_films(folder: Path, count: int) -> None:
    from datamodules import ChestXrayDataModule

    _first_batch(ChestXrayDataModule(str(folder)))


def _start_films_and_set(folder: Path, count: int) -> None:
    from datamodules import ChestXrayDataModule

    _first_batch(
        ChestXrayDataModule(
            str(folder / "cache"),
            synthetic=str(folder / "set"),
            control="steps",
            balance="oversample",
            fraction_of_patients=0.5,
        )
    )


def _start_slices(folder: Path, count: int) -> None:
    from datamodules import KiTS19DataModule

    _first_batch(KiTS19DataModule(str(folder)))


def _finish_set(folder: Path, count: int) -> None:
    from cards.finish import finish_synthetic_set

    items, manifest = inputs.synthetic_items(count), inputs.synthetic_manifest(count)
    finish_synthetic_set(folder, items, manifest, "python generate.py")


def _open_set(folder: Path, count: int) -> None:
    from datamodules.synthetic import SyntheticSet

    made = SyntheticSet.open(folder)
    if len({item.unit for item in made.items}) != count or not made.content_sha256:
        raise SystemExit("another set")
    made.seen()


PARTS = {
    "films": Part("`prepare.py image_folder`", inputs.write_pictures, _prepare_films),
    "slices": Part("`prepare.py kits19`, slices", inputs.write_volumes, _prepare_slices),
    "synthetic": Part("`prepare.py synthetic`, films", _make_outside, _prepare_synthetic),
    "verify": Part("`prepare.py verify` of films", inputs.write_film_cache, _verify),
    "split": Part("dividing patients", lambda *_: None, _divide, TABLES),
    "duplicates": Part(
        "search for near copies, one in a hundred", _make_hashes, _find_duplicates, TABLES
    ),
    "index": Part("opening a cache of films", inputs.write_film_cache, _open_films, TABLES),
    "start_films": Part("datamodule of films to the first batch", inputs.write_film_cache,
                        _start_films),
    "start_beside": Part("the same beside as many synthetic films, balanced, a control",
                         _make_films_and_set, _start_films_and_set),
    "start_slices": Part("datamodule of slices to the first batch", inputs.write_slice_cache,
                         _start_slices),
    "finish_set": Part("card and manifest of a synthetic set", lambda *_: None, _finish_set),
    "open_set": Part("opening a synthetic set", inputs.write_synthetic_set, _open_set),
    **{name: Part(*entry) for name, entry in studies.ENTRIES.items()},
}  # fmt: skip
