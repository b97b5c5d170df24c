"""How fast is prepare.py kits19 on whole volumes, and how much memory does it hold?

    python benchmarks/prepare_volumes.py --out runs/benchmark_prepare

Runs the real command in a process of its own, with 1 and with 2 workers, on the same volumes, and
samples the memory of that process and of all its children together. Without --source it makes
volumes of KiTS19's size and type first (512x512, float64 image as KiTS19's, 150 slices), from
random anatomy-like blobs: their content compresses about as CT does.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import psutil

ROOT = Path(__file__).parents[1]
AFFINE = np.array([[0, 0, -0.78, 0], [0, -0.78, 0, 0], [-3.0, 0, 0, 0], [0, 0, 0, 1]])


def write_volumes(folder: Path, num_volumes: int, num_slices: int, size: int = 512) -> Path:
    """Write a KiTS19-like set: noise on smooth blobs, outside of the body plain air."""
    for number in range(num_volumes):
        case = folder / f"case_{number:05d}"
        if (case / "segmentation.nii.gz").is_file():
            continue
        case.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(number)
        rows, columns = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
        body = (rows / 0.6) ** 2 + (columns / 0.85) ** 2 < 1
        image = np.full((num_slices, size, size), -1024, np.float64)
        mask = np.zeros((num_slices, size, size), np.uint8)
        for row in range(num_slices):
            image[row][body] = np.rint(rng.normal(30, 15, int(body.sum())))
            if num_slices // 4 < row < num_slices // 2:
                kidney = (rows - 0.2) ** 2 + (abs(columns) - 0.4) ** 2 < 0.02
                mask[row][kidney] = 1 + number % 2
        nib.save(nib.Nifti1Image(image, AFFINE), case / "imaging.nii.gz")
        nib.save(nib.Nifti1Image(mask, AFFINE), case / "segmentation.nii.gz")
    return folder


def memory_mb(process: psutil.Process) -> tuple[float, float]:
    """Return (memory of a process, of it and all its children) in MB.

    Proportional set size where the system tells it, so that pages shared by the workers count
    once; resident size otherwise.
    """
    values = []
    for one in [process, *process.children(recursive=True)]:
        try:
            full = one.memory_full_info()
            values.append(getattr(full, "pss", full.rss) / 1e6)
        except psutil.Error:
            continue
    return (values[0] if values else 0.0, sum(values))


def watched_run(words: list[str], log: Path) -> tuple[float, float, float]:
    """Run a verb; return (seconds, peak memory of all its processes, of the parent alone in MB).

    Raises:
        SystemExit: It failed.
    """
    started = time.perf_counter()
    with open(log, "w", encoding="utf-8") as stream:
        process = subprocess.Popen([sys.executable, *words], cwd=ROOT, stdout=stream, stderr=stream)
        watched = psutil.Process(process.pid)
        parent = total = 0.0
        while process.poll() is None:
            one, every = memory_mb(watched)
            parent, total = max(parent, one), max(total, every)
            time.sleep(0.05)
    if process.returncode != 0:
        raise SystemExit(f"{log}: {words[0]} ended with {process.returncode}.")
    return time.perf_counter() - started, total, parent


def measure(source: Path, out: Path, workers: int) -> dict[str, Any]:
    """Run prepare.py once and return its speed and peak memory."""
    command = ["prepare.py", "kits19", "--source", str(source.resolve())]
    command += ["--out", str(out.resolve()), "--workers", str(workers), "--split-all-to", "train"]
    seconds, total, parent = watched_run(command, out.with_suffix(".log"))
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    return {
        "workers": workers,
        "volumes": len(manifest["shards"]),
        "slices": len(manifest["items"]),
        "seconds": round(seconds, 2),
        "slices_per_second": round(len(manifest["items"]) / seconds, 1),
        "peak_memory_mb": round(total),
        "peak_memory_of_parent_mb": round(parent),
    }


def main() -> None:
    """Make or take the volumes, measure each number of workers, print and save the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="Folder for caches and results.")
    parser.add_argument("--source", type=Path, help="KiTS19 folder to use instead of made volumes.")
    parser.add_argument("--num-volumes", type=int, default=4, help="Volumes to make.")
    parser.add_argument("--num-slices", type=int, default=150, help="Slices of a made volume.")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="Numbers to try.")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    source = options.source or write_volumes(
        options.out / "source", options.num_volumes, options.num_slices
    )
    results = []
    for workers in options.workers:
        cache = options.out / f"cache_{workers}_workers"
        if cache.exists():
            raise SystemExit(f"{cache}: exists. Remove it or give another --out; nothing was run.")
        results.append(measure(source, cache, workers))
    print(f"{'workers':>8}{'slices/s':>10}{'seconds':>9}{'peak MB':>9}{'parent MB':>11}")
    for row in results:
        print(
            f"{row['workers']:>8}{row['slices_per_second']:>10}{row['seconds']:>9}"
            f"{row['peak_memory_mb']:>9}{row['peak_memory_of_parent_mb']:>11}"
        )
    path = options.out / "prepare_volumes.json"
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(f"Results: {path}")


if __name__ == "__main__":
    main()
