"""How much of a task on films a linear model solves: what a deep one has to beat.

python benchmarks/linear_baselines.py --data data/kermany [--label-column label] [--out FILE.json]

Logistic regressions that see next to nothing: one grey value, the frame of the film alone (where no
lung is), or the film as 8 x 8 or 16 x 16 squares. Where the frame does well, the classes differ in
how their films were taken, and a network can learn that in place of the disease. Films are averaged
to 32 pixels, standardised by the training films; the L2 penalty is chosen on the validation films.
AUROC on the test films, with a 95 % interval for other patients.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from datamodules import ChestXrayDataModule
from metrics.auroc_intervals import score_interval
from metrics.ranking import auroc
from provenance import UserError
from studies.statistics.linear_baseline import SIDE, VIEWS, fit_view


def small_films(data: ChestXrayDataModule, split: str) -> dict[str, Any]:
    """All films of a split at 32 pixels (4 KB each), with labels and patients."""
    parts = [data.to_unit(batch) for batch in data.evaluation_loader(split)]
    return {
        "films": torch.cat([part["image"] for part in parts]),
        "labels": torch.cat([part["label"] for part in parts]),
        "patients": [patient for part in parts for patient in part["patient_id"]],
    }


def baselines(root: str, label_column: str | None = None, seed: int = 0) -> list[dict[str, Any]]:
    """A row for each view: AUROC on the test films with its interval, and how it was reached.

    Raises:
        UserError: No labels, or not two classes.
    """
    data = ChestXrayDataModule(root, batch_size=256, label_column=label_column, resolution=SIDE)
    if len(data.class_names) != 2:
        raise UserError(
            f"{root}: classes are {', '.join(data.class_names) or 'none'}; a logistic regression "
            "needs two. Give --label-column with another column."
        )
    sets = {split: small_films(data, split) for split in ("train", "val", "test")}
    rows = []
    films = {split: content["films"] for split, content in sets.items()}
    labels = {split: content["labels"] for split, content in sets.items()}
    for name in VIEWS:
        fit = fit_view(name, films, labels)
        scores = fit.scores
        test = sets["test"]
        interval = score_interval(scores["test"], test["labels"], test["patients"])
        rows.append(
            {
                "view": name,
                "inputs": fit.num_inputs,
                "penalty": fit.penalty,
                "auroc_train": auroc(scores["train"], sets["train"]["labels"]),
                "auroc_val": fit.auroc_val,
                "auroc_test": interval.value,
                "low": interval.low,
                "high": interval.high,
                "films": len(test["labels"]),
                "patients": interval.num_patients,
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="a film cache with labels of two classes")
    parser.add_argument("--label-column", default=None, help="default: the first")
    parser.add_argument("--out", type=Path, default=None, help="JSON with the same numbers")
    options = parser.parse_args()
    try:
        rows = baselines(options.data, options.label_column)
    except UserError as error:
        sys.exit(f"linear_baselines.py: {error}")
    print(
        f"{rows[0]['films']} test films of {rows[0]['patients']} patients; L-BFGS from zero; "
        "intervals on the logit scale, jackknife over patients"
    )
    print(f"{'view':17}{'inputs':>7}{'penalty':>9}{'train':>7}{'val':>7}  test AUROC [95 %]")
    for row in rows:
        shown = [np.nan if row[key] is None else row[key] for key in ("auroc_test", "low", "high")]
        print(
            f"{row['view']:17}{row['inputs']:7}{row['penalty']:9}{row['auroc_train']:7.3f}"
            f"{row['auroc_val']:7.3f}  {shown[0]:.3f} [{shown[1]:.3f} to {shown[2]:.3f}]"
        )
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
