"""Films per second and bytes per film: the film cache beside three other ways to read films.

    python benchmarks/chest_xray_cache.py [--num-films 200] [--image-size 512] [--out FILE.json]

All four give the same grey values (checked before anything is timed), as the same random crops, in
the same random order, in batches of 16, in one process:

- ours, and ours in its first epoch, when every film's SHA-256 is compared;
- one pickle per film, as paper 003 keeps its films;
- MONAI's PersistentDataset, one .pt per film;
- the DICOM files themselves, decoded and preprocessed at each use.

All files have just been written or read, so they come from the page cache: the figures compare
the work of reading, not disks. Without --films it writes uncompressed 12-bit films of smooth
random fields; compressed ones, such as a hospital's, take longer to decode.
"""

import argparse
import csv
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# The paper's format, for comparison. It runs code on load, so nothing else in this project reads
# it, and here only bytes are loaded that this file has written into its own temporary folder.
import pickle  # isort: skip

import numpy as np
import pydicom
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import DataLoader

sys.path.insert(0, str(Path(__file__).parents[1]))

import prepare
from datamodules.film_cache import FilmCache
from datamodules.films import FilmDataset, collate
from datamodules.ordering import OrderedBatches

BATCH_SIZE = 16
ROUNDS = 5
OURS = "ours"

ReadFilm = Callable[[int], NDArray[Any]]


class ReadElsewhere(FilmCache):
    """A cache's films from another place, so that all else about a sample stays the same."""

    def __init__(self, cache: FilmCache, read: ReadFilm) -> None:
        self.__dict__.update(cache.__dict__)
        self.read = read

    def image(self, place: int) -> NDArray[Any]:
        """(S, S) stored film."""
        return self.read(place)


def write_films(folder: Path, num_films: int, side: int, seed: int) -> None:
    """Write PA films as DICOM: a smooth random field with a detector's noise, 12 of 16 bits."""
    for number in range(num_films):
        random = np.random.default_rng([seed, number])
        coarse = Image.fromarray(random.uniform(500, 3500, (12, 12)).astype(np.float32))
        smooth = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC))
        noise = random.standard_normal((side, side), dtype=np.float32)
        pixels = (smooth + 20 * noise).clip(0, 4095).astype(np.uint16)
        film = pydicom.Dataset()
        film.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"  # digital X-ray, for presentation
        film.SOPInstanceUID = f"2.25.{seed + 1}{number:06d}"
        film.Modality, film.BodyPartExamined, film.ViewPosition = "DX", "CHEST", "PA"
        film.PatientID = f"drawn-{number}"
        film.SamplesPerPixel, film.PhotometricInterpretation = 1, "MONOCHROME2"
        film.Rows, film.Columns = pixels.shape
        film.BitsAllocated, film.BitsStored, film.HighBit = 16, 12, 11
        film.PixelRepresentation = 0
        film.PixelData = pixels.tobytes()
        film.file_meta = pydicom.dataset.FileMetaDataset()
        film.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        film.save_as(folder / f"{number:06d}.dcm", enforce_file_format=True)


def from_dicom(cache: FilmCache, paths: list[Path]) -> ReadFilm:
    """Decode and preprocess at each use, exactly as the cache was made."""
    from preparation.films.dicom.film_reader import DicomFilmReader
    from preparation.films.film import FilmFile
    from preparation.films.processing import FilmLayout, process

    layout = FilmLayout(**{name: cache.manifest[name] for name in FilmLayout.__dataclass_fields__})
    files = [FilmFile(path.name, path, path.stat().st_size) for path in paths]
    reader = DicomFilmReader()
    return lambda place: process(reader(files[place]).pixels, layout)


def from_pickles(cache: FilmCache, folder: Path) -> ReadFilm:
    """Write one pickle per film, and read them."""
    folder.mkdir()
    for place in range(len(cache)):
        with open(folder / f"{place}.pkl", "wb") as stream:
            pickle.dump(np.array(cache.image(place)), stream, pickle.HIGHEST_PROTOCOL)

    def read(place: int) -> NDArray[Any]:
        with open(folder / f"{place}.pkl", "rb") as stream:
            film: NDArray[Any] = pickle.load(stream)  # noqa: S301 - written three lines before
        return film

    return read


def from_monai(cache: FilmCache, paths: list[Path], folder: Path) -> ReadFilm:
    """Let MONAI keep a .pt per film. It is spared the preprocessing, which is not timed."""
    from monai.data import PersistentDataset
    from monai.transforms import Transform

    class Prepared(Transform):
        """A film by the name of its file, as preprocessing would give it."""

        def __call__(self, name: str) -> NDArray[Any]:
            return np.array(cache.image(places[name]))

    names = [str(path) for path in paths]
    places = {name: place for place, name in enumerate(names)}
    kept = PersistentDataset(names, Prepared(), folder)
    for place in range(len(names)):
        kept[place]
    return lambda place: np.asarray(kept[place])


def films_per_second(cache: FilmCache, seed: int, seconds: float | None) -> tuple[float, float]:
    """Films per second of wall time and of processor time; for so long, or None for one epoch."""
    dataset = FilmDataset(cache, cache.indices(None), crop="random")
    endless = None if seconds is None else 10**9
    order = OrderedBatches(len(dataset), BATCH_SIZE, seed, lambda: 0, images_per_epoch=endless)
    count, started, cpu_started = 0, time.perf_counter(), time.process_time()
    for batch in DataLoader(dataset, batch_sampler=order, collate_fn=collate):
        count += len(batch["id"])
        if seconds is not None and time.perf_counter() - started > seconds:
            break
    return count / (time.perf_counter() - started), count / (time.process_time() - cpu_started)


def bytes_in(folder: Path, *patterns: str) -> int:
    return sum(path.stat().st_size for pattern in patterns for path in folder.glob(pattern))


def main() -> None:
    """Make the four, check that they agree, time them in turns, print and save the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--films", type=Path, help="Folder of PA films as DICOM to use instead.")
    parser.add_argument("--num-films", type=int, default=200, help="Films to write.")
    parser.add_argument("--film-size", type=int, default=2048, help="Side of a written film.")
    parser.add_argument("--image-size", type=int, default=512, help="Side of a crop.")
    parser.add_argument("--seed", type=int, default=0, help="Of written films and of the order.")
    parser.add_argument("--seconds", type=float, default=2.0, help="Of one of the 5 turns.")
    parser.add_argument("--out", type=Path, help="File for the results as JSON.")
    options = parser.parse_args()
    torch.set_num_threads(1)  # as in a worker of a dataloader
    with tempfile.TemporaryDirectory() as temporary:
        results = compare(options, Path(temporary))
    if options.out:
        options.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        print(f"\nResults: {options.out}")


def compare(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run everything inside an empty folder and return what `--out` holds."""
    source, root = options.films or folder / "films", folder / "cache"
    if options.films is None:
        source.mkdir()
        write_films(source, options.num_films, options.film_size, options.seed)
    prepare.main(
        [
            "chest_xray",
            f"--source={source}",
            f"--out={root}",
            "--split-all-to=train",
            f"--image-size={options.image_size}",
        ]
    )
    cache = FilmCache.open(root)
    with open(root / "sources.csv", newline="", encoding="utf-8") as stream:
        paths = [source / row["file"] for row in csv.DictReader(stream)]
    if len(cache) < BATCH_SIZE:
        raise SystemExit(f"{source}: has {len(cache)} usable films; a batch needs {BATCH_SIZE}.")

    ways: dict[str, FilmCache] = {
        OURS: cache,
        "pickle per film": ReadElsewhere(cache, from_pickles(cache, folder / "pickles")),
        "MONAI PersistentDataset": ReadElsewhere(cache, from_monai(cache, paths, folder / "monai")),
        "DICOM at each epoch": ReadElsewhere(cache, from_dicom(cache, paths)),
    }
    for name, way in ways.items():
        for place in range(BATCH_SIZE):
            if not np.array_equal(way.image(place), cache.image(place)):
                raise SystemExit(f"{name}: film {place} differs from ours. Nothing was timed.")
    size = {
        OURS: bytes_in(root, "arrays/*", "items.csv", "manifest.json"),
        "pickle per film": bytes_in(folder / "pickles", "*.pkl"),
        "MONAI PersistentDataset": bytes_in(folder / "monai", "*.pt"),
        "DICOM at each epoch": sum(path.stat().st_size for path in paths),
    }

    first_epoch = f"{OURS}, first epoch"
    speeds: dict[str, list[tuple[float, float]]] = {name: [] for name in (first_epoch, *ways)}
    for turn in range(ROUNDS):  # in turns, so that another program's load meets all of them
        again = FilmCache.open(root)  # has checked no film yet
        speeds[first_epoch].append(films_per_second(again, options.seed + turn, None))
        for name, way in ways.items():
            speeds[name].append(films_per_second(way, options.seed + turn, options.seconds))

    rows: list[dict[str, Any]] = [
        {
            "way": name,
            "films_per_second": statistics.median(wall for wall, _ in measured),
            "films_per_cpu_second": statistics.median(cpu for _, cpu in measured),
            "bytes_per_film": size[name.removesuffix(", first epoch")] / len(cache),
        }
        for name, measured in speeds.items()
    ]
    ours = next(row for row in rows if row["way"] == OURS)
    print(
        f"\n{len(cache)} films, {cache.stored_size} px stored, {cache.image_size} px crops, "
        f"batches of {BATCH_SIZE}, one process, warm page cache; median of {ROUNDS} turns\n"
    )
    print("| way | films/s | to ours | films per CPU second | bytes per film |")
    print("|---|---|---|---|---|")
    for row in rows:
        row["to_ours"] = row["films_per_second"] / ours["films_per_second"]
        print(
            f"| {row['way']} | {row['films_per_second']:.4g} | {row['to_ours']:.3g} | "
            f"{row['films_per_cpu_second']:.4g} | {row['bytes_per_film']:,.0f} |"
        )
    return {
        "num_films": len(cache),
        "image_size": cache.image_size,
        "stored_size": cache.stored_size,
        "film_size": None if options.films else options.film_size,
        "batch_size": BATCH_SIZE,
        "page_cache": "warm",
        "seed": options.seed,
        "rows": rows,
    }


if __name__ == "__main__":
    main()
