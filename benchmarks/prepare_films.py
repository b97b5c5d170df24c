"""How fast is prepare.py on films, how does it scale with workers, and does its memory stay flat?

    python benchmarks/prepare_films.py --films DICOM_FOLDER --out runs/benchmark_films

Runs the real command in a process of its own on links to the given films, repeated until there are
so many as asked for: once with 1 and once with 2 workers on the smaller number, and with 2 on the
larger one. Samples the memory of all processes together.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.prepare_volumes import watched_run


def link_films(films: Path, folder: Path, count: int) -> Path:
    """Fill a folder with links to films, each name with a number of its own."""
    sources = sorted(path for path in films.rglob("*") if path.is_file())
    for number in range(count):
        source = sources[number % len(sources)]
        link = folder / f"{number % 100:02d}" / f"{number:06d}{source.suffix}"
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            link.symlink_to(source.resolve())
    return folder


def measure(source: Path, out: Path, workers: int, flags: list[str]) -> dict[str, Any]:
    """Run prepare.py once and return its speed and peak memory."""
    command = ["prepare.py", *flags, "--source", str(source.resolve()), "--out", str(out.resolve())]
    command += ["--workers", str(workers), "--split-all-to", "train"]
    seconds, total, parent = watched_run(command, out.with_suffix(".log"))
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    found = sum(1 for _ in source.rglob("*") if _.is_file())
    return {
        "workers": workers,
        "files": found,
        "films": manifest["num_items"],
        "seconds": round(seconds, 2),
        "files_per_second": round(found / seconds, 1),
        "bytes_per_film": manifest["stored_size"] ** 2 * manifest["bit_depth"] // 8,
        "peak_memory_mb": round(total),
        "peak_memory_of_parent_mb": round(parent),
    }


def main() -> None:
    """Link the films, measure, print and save the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--films", type=Path, required=True, help="Folder of films.")
    parser.add_argument("--out", type=Path, required=True, help="Folder for caches and results.")
    parser.add_argument("--image-size", type=int, default=512)
    parser.add_argument("--few", type=int, default=500, help="Films of the smaller run.")
    parser.add_argument("--many", type=int, default=5000, help="Films of the larger one.")
    parser.add_argument("--pictures", action="store_true", help="PNG or JPEG instead of DICOM.")
    options = parser.parse_args()
    flags = ["chest_xray", "--patient-from", "file"]
    if options.pictures:
        flags = ["image_folder", "--patient-from", "file", "--labels", "none"]
    flags += ["--image-size", str(options.image_size)]
    results = []
    for count, workers in ((options.few, 1), (options.few, 2), (options.many, 2)):
        source = link_films(options.films, options.out / f"source_{count}", count)
        cache = options.out / f"cache_{count}_{workers}"
        if cache.exists():
            raise SystemExit(f"{cache}: exists. Remove it or give another --out; nothing was run.")
        results.append(measure(source, cache, workers, flags))
    print(f"{'workers':>8}{'files':>8}{'films/s':>9}{'seconds':>9}{'peak MB':>9}{'parent MB':>11}")
    for row in results:
        print(
            f"{row['workers']:>8}{row['files']:>8}{row['files_per_second']:>9}{row['seconds']:>9}"
            f"{row['peak_memory_mb']:>9}{row['peak_memory_of_parent_mb']:>11}"
        )
    path = options.out / "prepare_films.json"
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(f"Results: {path}")


if __name__ == "__main__":
    main()
