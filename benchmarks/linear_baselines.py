"""How much of a task on films a linear model solves: what a deep one has to beat.

python benchmarks/linear_baselines.py --data data/kermany [--label-column label] [--out FILE.json]

Logistic regressions that see next to nothing: one grey value, the frame of the film alone (where no
lung is), or the film as 8 x 8 or 16 x 16 squares. Where the frame does well, the classes differ in
how their films were taken, and a network can learn that in place of the disease. Films are averaged
to 32 pixels, standardised by the training films; the L2 penalty is chosen on the validation films.
AUROC on the test films, with a 95 % bootstrap interval over patients.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))

from datamodules import ChestXrayDataModule
from metrics.auroc_intervals import bootstrap_score
from metrics.ranking import auroc
from provenance import UserError

SIDE, FRAME = 32, 2  # pixels
PENALTIES = (0.001, 0.01, 0.1, 1.0)


def frame(films: Tensor) -> Tensor:
    """(N, 240) pixels of films (N, 1, 32, 32) within 2 pixels of the edge: 23 % of the film."""
    inside = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    inside[FRAME:-FRAME, FRAME:-FRAME] = True
    return films[:, 0, ~inside]


VIEWS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean grey": lambda films: films.mean(dim=(2, 3)),
    "frame alone": frame,
    "8 x 8 squares": lambda films: F.avg_pool2d(films, SIDE // 8).flatten(1),
    "16 x 16 squares": lambda films: F.avg_pool2d(films, SIDE // 16).flatten(1),
}


def logistic_regression(inputs: Tensor, labels: Tensor, penalty: float) -> Tensor:
    """Weights (D + 1,) of least mean cross-entropy + penalty |w|^2; the last is the offset.

    Convex, so L-BFGS finds the one minimum.

    Args:
        inputs: (N, D) float64.
        labels: (N,) 0 or 1.
        penalty: On the weights, not on the offset.
    """
    weights = torch.zeros(inputs.shape[1] + 1, dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS([weights], max_iter=500, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        search.zero_grad()
        logits = inputs @ weights[:-1] + weights[-1]
        loss = F.binary_cross_entropy_with_logits(logits, labels.to(torch.float64))
        loss = loss + penalty * weights[:-1].square().sum()
        loss.backward()
        return loss

    search.step(closure)
    return weights.detach()


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
    for name, view in VIEWS.items():
        inputs = {split: view(content["films"]).double() for split, content in sets.items()}
        mean, spread = inputs["train"].mean(dim=0), inputs["train"].std(dim=0).clamp_min(1e-6)
        inputs = {split: (values - mean) / spread for split, values in inputs.items()}
        fits = []
        for penalty in PENALTIES:
            weights = logistic_regression(inputs["train"], sets["train"]["labels"], penalty)
            scores = {split: x @ weights[:-1] + weights[-1] for split, x in inputs.items()}
            chosen_by = auroc(scores["val"], sets["val"]["labels"])
            fits.append((chosen_by or 0.0, penalty, scores))
        validation, penalty, scores = max(fits, key=lambda fit: fit[0])
        test = sets["test"]
        interval = bootstrap_score(scores["test"], test["labels"], test["patients"], seed=seed)
        rows.append(
            {
                "view": name,
                "inputs": inputs["train"].shape[1],
                "penalty": penalty,
                "auroc_train": auroc(scores["train"], sets["train"]["labels"]),
                "auroc_val": validation,
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
        "bootstrap of 2,000 resamples, seed 0"
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
