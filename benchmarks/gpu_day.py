"""Everything that only a GPU shows, in one command and a few minutes.

python benchmarks/gpu_day.py --out OUT --films FILMS [--weights FILE.pth] [--minutes 8]

Five parts, each a process with a share of the time: the tests that need a GPU; speed and memory of
every method at several sizes and in every precision; loading and distances; an audit's search and
augmentations; and, in the time that is left, the multi-scale GAN trained on real films. A part that
fails or hangs costs itself alone, and rows are on disk as they come: OUT/rows.jsonl, then
gpu_day.json and the page gpu_day.md after every part, log.txt, and of the training its metrics.csv
and three sheets of samples. Without a GPU everything runs at tiny sizes, as a trial of the script.

FILMS is a cache of prepare.py; without it loading, distances and the training are left out, and the
page says so. docs/training.md says how to bring all of it to a machine without a network.
"""

import argparse
import contextlib
import csv
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.gpu_page import page
from benchmarks.gpu_rows import Row, add_row, measure_all, read_rows
from provenance import library_versions, write_json_atomic, write_text_atomic

ROOT = Path(__file__).parents[1]

_PAGE_S = 5.0
"""Left at the end."""

_STALLED_S = 45.0
"""A process that has written no row for so long, beyond what its row may take, hangs."""


@dataclass(frozen=True)
class Part:
    """One of the five.

    Attributes:
        name: For --parts.
        share: Of the time, beside the others' shares; what one leaves goes to those behind it.
        title: For the page.
    """

    name: str
    share: float
    title: str


PARTS = (
    Part("tests", 75, "the tests that need a GPU"),
    Part("speed", 210, "speed and memory of every method"),
    Part("shares", 50, "loading and distances"),
    Part("audit", 55, "an audit's search, and augmentations"),
    Part("training", 90, "the multi-scale GAN on real films"),
)


def allowance(left: Sequence[Part], seconds: float) -> float:
    """Seconds that the first of the parts that are left may take, of those that are left."""
    return max(0.0, seconds) * left[0].share / sum(part.share for part in left)


# ---- processes -----------------------------------------------------------------------------------


class Day:
    """Runs the parts, one after the other, and keeps what came of each."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.out: Path = given.out
        self.rows = self.out / "rows.jsonl"
        self.log = self.out / "log.txt"
        self.ended: dict[str, Row] = {}
        self.scratch = Path(tempfile.mkdtemp(prefix="gpu_day_"))
        self.started = time.monotonic()
        self.about = about(given)
        self.environment = {
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            "WANDB_MODE": "disabled",
            "TORCHINDUCTOR_CACHE_DIR": str(self.scratch / "compiled"),
        }
        if given.tiny:
            self.environment["OMP_NUM_THREADS"] = "1"

    def run(self) -> None:
        """All parts that were asked for."""
        chosen = [part for part in PARTS if part.name in self.given.parts]
        counting = None
        if "speed" in self.given.parts:  # on one core, beside the tests and what follows
            counting = self._start(self._worker("count"))
        try:
            for place, part in enumerate(chosen):
                left = 60 * self.given.minutes - _PAGE_S - (time.monotonic() - self.started)
                limit = allowance(chosen[place:], left)
                print(f"== {part.name}: {part.title}, {limit:.0f} s", flush=True)
                begun = time.monotonic()
                try:
                    how = getattr(self, f"_{part.name}", lambda s, n=part.name: self._rows(n, s))(
                        limit
                    )
                except Exception as error:  # the next part is another matter
                    how = f"failed: {type(error).__name__}: {error}"
                took = time.monotonic() - begun
                self.ended[part.name] = {"how": how, "seconds": took, "limit": limit}
                self.write()
        finally:
            if counting is not None:
                end_group(counting)
            shutil.rmtree(self.scratch, ignore_errors=True)

    def write(self) -> None:
        """JSON and page of what is known so far."""
        result = {**self.about, "parts": self.ended, "rows": read_rows(self.rows)}
        result["not_asked_for"] = [p.name for p in PARTS if p.name not in self.given.parts]
        result["curve"] = read_curve(self.out / "metrics.csv")
        write_json_atomic(self.out / "gpu_day.json", result)
        write_text_atomic(self.out / "gpu_day.md", page(result))

    def _start(self, words: Sequence[str]) -> subprocess.Popen[bytes]:
        """Another process, with what it says in the log, and on its own to be ended as a whole."""
        with open(self.log, "a", encoding="utf-8") as stream:
            stream.write(f"\n$ {' '.join(words)}\n")
            stream.flush()
            return subprocess.Popen(
                [sys.executable, *words],
                cwd=ROOT,
                env=self.environment,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _rows(self, name: str, limit: float) -> str:
        """A process that measures rows; begun again behind a row that hung or broke it."""
        if name == "shares" and self.given.films is None:
            return "not run: no --films"
        end = time.monotonic() + limit
        restarts = 0
        while True:
            process = self._start(self._worker(name))
            how = self._wait(process, end)
            end_group(process)  # loaders' workers too, which may outlive it
            if how == "whole" or time.monotonic() >= end:
                return how if how == "whole" else "the time was up"
            restarts += 1
            if restarts > 8:
                return f"given up after {restarts} processes that broke; the last {how}"

    def _worker(self, name: str) -> list[str]:
        return [str(Path(__file__).resolve()), *self.given.words, "--worker", name]

    def _wait(self, process: subprocess.Popen[bytes], end: float) -> str:
        """How a process ended; one that hangs, or whose time is up, is ended."""
        size, changed = -1, time.monotonic()
        patience = _STALLED_S + max(self.given.compile_seconds, self.given.row_seconds, 60.0)
        while process.poll() is None:
            now = time.monotonic()
            length = self.rows.stat().st_size if self.rows.is_file() else 0
            if length != size:
                size, changed = length, now
            if now >= end or now - changed > patience:
                end_group(process)
                return "the time was up" if now >= end else "hung and was ended"
            time.sleep(0.2)
        return "whole" if process.returncode == 0 else f"ended with {process.returncode}"

    # ---- tests -----------------------------------------------------------------------------------

    def _tests(self, limit: float) -> str:
        """Tests with the mark `gpu`; beside them torch.compile fills its cache."""
        files = gpu_test_files()
        words = ["-m", "pytest", "-v", "-m", "gpu", "-p", "no:cacheprovider", "-o", "addopts="]
        words += ["--import-mode=importlib", "--tb=short", "-o", "console_output_style=classic"]
        words += ["--durations=0", "--durations-min=0.5", "-rs", *files]
        before = self.log.stat().st_size if self.log.is_file() else 0
        beside = None
        if self.about["gpu"] and "speed" in self.given.parts:
            beside = self._start(self._worker("compile"))
        process = self._start(words)
        try:
            process.wait(limit)
            how = "whole" if process.returncode in (0, 1) else f"ended with {process.returncode}"
        except subprocess.TimeoutExpired:
            how = "the time was up"
        for one in (process, beside):
            if one is not None:
                end_group(one)
        with open(self.log, "rb") as stream:
            stream.seek(before)
            said = stream.read().decode("utf-8", "replace")
        for row in outcomes_of_tests(said):
            add_row(self.rows, {"part": "tests", **row})
        return how

    # ---- training --------------------------------------------------------------------------------

    def _training(self, limit: float) -> str:
        """train.py on the films; curves and the first, a middle and the last sheet come out."""
        given = self.given
        if given.films is None:
            return "not run: no --films"
        spare = 2.0 if given.tiny else 25.0  # to start, to measure and to end
        seconds = int(limit - spare)
        if seconds < 5:
            return f"not run: {limit:.0f} s were left"
        run = self.scratch / "run"
        process = self._start(training_words(given, run, seconds))
        try:
            process.wait(limit)
            how = "whole" if process.returncode == 0 else f"ended with {process.returncode}"
        except subprocess.TimeoutExpired:
            how = "the time was up"
        end_group(process)
        if (run / "metrics.csv").is_file():
            shutil.copy(run / "metrics.csv", self.out / "metrics.csv")
        sheets = sorted((run / "samples").glob("*.png"))
        if sheets:
            places = {"first": 0, "middle": len(sheets) // 2, "last": len(sheets) - 1}
            for name, place in places.items():
                shutil.copy(sheets[place], self.out / f"sheet_{name}.png")
        return how if sheets else f"{how}, and there are no samples"


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started, if they are there."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def gpu_test_files() -> list[str]:
    """Files with a test that has the mark; others may import what is not there."""
    marked = re.compile(r"^(@|pytestmark = )pytest\.mark\.gpu\b", re.M)
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    found = [file for file in files if marked.search(file.read_text(encoding="utf-8"))]
    return [str(file.relative_to(ROOT)) for file in found]


def outcomes_of_tests(said: str) -> list[Row]:
    """Outcome of each test, and seconds where it took half a second or more, of pytest's words.

    A test that says something, or a process beside it in the same log, moves its outcome onto a
    line of its own.
    """
    outcomes: dict[str, str] = {}
    running = None
    for line in said.splitlines():
        if named := re.match(r"(tests/\S+::\S+)", line):
            running = named[1]
        rest = line.removeprefix(running or "").strip()
        found = re.fullmatch(r"(PASSED|FAILED|SKIPPED|ERROR)(?: \(.*)?", rest)
        if running is not None and found is not None:
            outcomes[running], running = found[1].lower(), None
    times = re.findall(r"^ *([\d.]+)s call +(\S+::.+)$", said, re.M)
    seconds = {name.strip(): float(value) for value, name in times}
    reasons = dict(re.findall(r"^(?:FAILED|ERROR) (\S+::.+?) - (.+)$", said, re.M))
    return [
        {"test": name, "outcome": outcome, "seconds": seconds.get(name)}
        | ({"reason": reasons[name]} if name in reasons else {})
        for name, outcome in outcomes.items()
    ]


def training_words(given: argparse.Namespace, run: Path, seconds: int) -> list[str]:
    """The command of the training."""
    hours, rest = divmod(seconds, 3600)
    width = str(given.training_width)
    words = [
        "train.py", "fit", "--config", "configs/chest_xray/se_msg_pggan.yaml",
        "--data.root", str(given.films), "--run_folder", str(run),
        "--model.generator.width", width, "--model.generator.latent_size", width,
        "--model.discriminator.width", width, "--model.penalties.r1", "10",
        "--data.batch_size", "8" if given.tiny else "32",
        "--data.images_per_epoch", "16" if given.tiny else "6400",
        "--data.num_workers", "0" if given.tiny else "8",
        "--trainer.max_epochs", "2" if given.tiny else "1000",
        "--trainer.max_time", f"00:{hours:02}:{rest // 60:02}:{rest % 60:02}",
        "--trainer.precision", "bf16-mixed", "--trainer.devices", "1",
        "--trainer.enable_progress_bar", "false", "--wandb", "disabled",
        "--distance.num_images", "16" if given.tiny else "500",
    ]  # fmt: skip
    if given.tiny:
        words += ["--data.resolution", "16"]
    elif given.weights is not None:
        words += ["--distance.extractor", "timm:tf_efficientnet_lite0"]
        words += ["--distance.weights", str(given.weights), "--distance.random_vgg_too", "true"]
    return words


def read_curve(metrics: Path) -> list[Row]:
    """Images seen and distances, of a training's metrics.csv; empty where there is none."""
    if not metrics.is_file():
        return []
    points: dict[int, Row] = {}
    with open(metrics, encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            if row["name"].startswith(("val/frechet", "val/kernel")):
                seen = int(row["images_seen"])
                points.setdefault(seen, {"images_seen": seen})[row["name"]] = float(row["value"])
    return list(points.values())


# ---- what is measured, in a process of its own ---------------------------------------------------


def measure(given: argparse.Namespace) -> None:
    """Rows of one part."""
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tasks: Any  # imported here, so that a part waits for what it needs alone
    if given.worker in ("speed", "compile", "count"):
        from benchmarks import gpu_speed

        sizes = gpu_speed.Sizes(
            tuple(given.sizes), given.width, given.batch_size, 1 if given.tiny else 4,
            given.row_seconds, given.compile_seconds,
        )  # fmt: skip
        if given.worker == "count":
            tasks = gpu_speed.count_tasks(sizes)
        else:
            timed = gpu_speed.tasks if given.worker == "speed" else gpu_speed.compile_tasks
            tasks = timed(sizes, device)
    else:
        from benchmarks import gpu_costs

        small: Any = {}
        if given.tiny:
            small = {"batch": 4, "steps": 2, "queries": 100, "references": 200, "looked_at": 4}
            small |= {"most_films": 16, "side": 32, "seconds": 0.01}
        beside = gpu_costs.Given(device, given.films, given.weights, given.width, **small)
        tasks = (gpu_costs.shares if given.worker == "shares" else gpu_costs.audits)(beside)
    measure_all(given.worker, tasks, given.out / "rows.jsonl")


def about(given: argparse.Namespace) -> Row:
    """Card, driver, libraries and settings."""
    import torch

    gpu = torch.cuda.is_available()
    found: Row = {
        "gpu": torch.cuda.get_device_name() if gpu else None,
        "machine": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "versions": library_versions(),
        "options": {name: _plain(value) for name, value in vars(given).items() if name != "words"},
        "command": "python benchmarks/gpu_day.py " + " ".join(given.words),
    }
    if gpu:
        properties = torch.cuda.get_device_properties(0)
        found["memory_mb"] = properties.total_memory / 2**20
        found["cuda"] = torch.version.cuda
        found["cudnn"] = torch.backends.cudnn.version()
        words = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        try:
            told = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
            found["driver"] = told.stdout.strip()
        except (OSError, subprocess.TimeoutExpired):
            found["driver"] = "nvidia-smi did not say"
    return found


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def read_flags(words: Sequence[str]) -> argparse.Namespace:
    """The flags, with what follows from there being no GPU."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [part.name for part in PARTS]
    parser.add_argument("--out", type=Path, required=True, help="Folder for what comes out.")
    parser.add_argument("--minutes", type=float, default=8.0, help="For everything.")
    parser.add_argument(
        "--parts", default=",".join(names), type=lambda x: x.split(","), help="Which, by commas."
    )
    parser.add_argument("--films", type=Path, default=None, help="A film cache of prepare.py.")
    parser.add_argument(
        "--weights", type=Path, default=None, help="Of timm's tf_efficientnet_lite0."
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=None, help="In px: 256 512.")
    parser.add_argument("--width", type=int, default=None, help="Of GANs that are timed: 512.")
    parser.add_argument("--batch-size", type=int, default=None, help="At the first size: 16.")
    parser.add_argument("--row-seconds", type=float, default=12.0, help="That a row may take.")
    parser.add_argument(
        "--compile-seconds", type=float, default=40.0, help="That one may take that compiles."
    )
    parser.add_argument("--training-width", type=int, default=None, help="In the training: 256.")
    parser.add_argument("--tiny", action="store_true", help="Try it out at tiny sizes.")
    parser.add_argument("--worker", default=None, help=argparse.SUPPRESS)
    given = parser.parse_args(words)
    given.words = list(words)
    if wrong := [name for name in given.parts if name not in names]:
        parser.error(f"--parts {','.join(wrong)}: there are {', '.join(names)}.")
    if given.films is not None and not (given.films / "manifest.json").is_file():
        parser.error(f"--films {given.films}: is no cache of prepare.py (no manifest.json).")
    if given.weights is not None and not given.weights.is_file():
        parser.error(f"--weights {given.weights}: no such file.")
    import torch

    given.tiny = given.tiny or not torch.cuda.is_available()
    usual: dict[str, tuple[Any, Any]] = {
        "sizes": ([256, 512], [32]),
        "width": (512, 8),
        "batch_size": (16, 4),
        "training_width": (256, 8),
    }
    for name, (large, small) in usual.items():
        if getattr(given, name) is None:
            setattr(given, name, small if given.tiny else large)
    for name in ("out", "films", "weights"):
        path = getattr(given, name)
        setattr(given, name, None if path is None else path.resolve())
    return given


def main() -> None:
    """Run the parts, or be one of their processes."""
    given = read_flags(sys.argv[1:])
    if given.worker is not None:
        measure(given)
        sys.stdout.flush()
        os._exit(0)  # all is on disk, and the farewells of loaders' workers take their time
    given.out.mkdir(parents=True, exist_ok=True)
    if any((given.out / name).exists() for name in ("rows.jsonl", "gpu_day.json")):
        raise SystemExit(f"{given.out}: holds an earlier day. Give another --out.")
    day = Day(given)
    day.run()
    day.write()
    print((given.out / "gpu_day.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
