"""Metrics of a run as a CSV file that survives interruption."""

import csv
import io
import math
from argparse import Namespace
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from provenance import write_json_atomic, write_text_atomic

HEADER = ["images_seen", "epoch", "name", "value"]


class RunLog(Logger):
    """Appends `images_seen,epoch,name,value` rows to `metrics.csv`; keeps each metric's best.

    Long format, because a run logs different metrics at different times, and because appending a
    row can never lose an earlier one.

    Args:
        run_folder: Where `metrics.csv` and `metrics.json` are written.
    """

    def __init__(self, run_folder: Path) -> None:
        super().__init__()
        self.path = Path(run_folder) / "metrics.csv"
        self.summary_path = Path(run_folder) / "metrics.json"

    name = property(lambda self: "run_log")
    version = property(lambda self: "")

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kw: Any) -> None:
        """Nothing to do: config.yaml holds them."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Append one row per metric; `step` is images seen."""
        metrics = dict(metrics)
        epoch = int(metrics.pop("epoch", 0))
        new = not self.path.exists()
        with open(self.path, "a", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            if new:
                writer.writerow(HEADER)
            for name, value in metrics.items():
                writer.writerow([step, epoch, name, repr(float(value))])

    @rank_zero_only
    def rewind(self, images_seen: int) -> None:
        """Drop rows later than a checkpoint from which the run resumes: they come again."""
        if not self.path.exists():
            return
        with open(self.path, newline="", encoding="utf-8") as stream:
            rows = [row for row in csv.reader(stream) if len(row) == len(HEADER)][1:]
        text = io.StringIO()
        csv.writer(text).writerows([HEADER, *(row for row in rows if int(row[0]) <= images_seen)])
        write_text_atomic(self.path, text.getvalue())

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write metrics.json: last, lowest and highest value of every metric.

        After a failure, such as a full disk, the earlier one stays where it cannot be written:
        what went wrong first is what is told.
        """
        with suppress(OSError) if status == "failed" else nullcontext():
            if self.path.exists():
                write_json_atomic(self.summary_path, summarise(self.path))


def summarise(metrics_csv: Path) -> dict[str, dict[str, float | int | None]]:
    """Last, lowest and highest finite value of every metric, with its number of values."""
    summary: dict[str, dict[str, float | int | None]] = {}
    with open(metrics_csv, newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            value = float(row["value"])
            entry = summary.setdefault(
                row["name"], {"last": None, "min": None, "max": None, "count": 0}
            )
            entry["count"] = int(entry["count"] or 0) + 1
            if not math.isfinite(value):
                continue
            entry["last"] = value
            entry["min"] = value if entry["min"] is None else min(entry["min"], value)
            entry["max"] = value if entry["max"] is None else max(entry["max"], value)
    return summary
