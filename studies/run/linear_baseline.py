"""Beside every study of classifiers of two classes: what a linear model makes of the same data."""

from typing import TYPE_CHECKING, Any

from datamodules.film_cache import FilmCache
from datamodules.open_cache import open_cache
from provenance import UserError, read_json, write_json_atomic
from studies.run.folder import Study, StudyFolder
from studies.specification.arms import data_setting

if TYPE_CHECKING:
    from datamodules import ChestXrayDataModule

SHOWN = ("frame alone", "16 x 16 squares")


def measure_linear_baseline(study: Study) -> str | None:
    """Write the study's linear_baseline.json, unless it is there for these data.

    It is trained on the real films that the baseline scenario uses with the first seed.

    Returns:
        A sentence where it cannot be had; None also for studies that it is not about.
    """
    finished = next((study.folder.root / "cells").glob("*seed*[0-9].json"), None)
    if finished is None:
        return None
    evaluation = read_json(finished)["evaluation"]
    if evaluation.get("task") != "classification" or len(evaluation["class_names"]) != 2:
        return None
    cache = open_cache(study.root)
    if not isinstance(cache, FilmCache):
        return None
    settings = _settings(study)
    about = {**settings, "content_sha256": cache.content_sha256}
    path = study.folder.linear_baseline
    if path.is_file() and read_json(path)["about"] == about:
        return None
    # Not before: they take seconds to load, and studies of segmenters do without.
    from datamodules import ChestXrayDataModule
    from studies.statistics.linear_baseline import SIDE, fit_view

    try:
        data = ChestXrayDataModule(
            str(study.root), batch_size=256, channels=3, resolution=SIDE, **settings
        )
        sets = {split: _small_films(data, split) for split in ("train", "val", "test")}
    except UserError as error:
        return f"No linear model stands beside the classifiers: {error}"
    films = {split: one["films"] for split, one in sets.items()}
    labels = {split: one["labels"] for split, one in sets.items()}
    views = []
    for view in SHOWN:
        fit = fit_view(view, films, labels)
        rows = zip(
            sets["test"]["ids"], sets["test"]["patients"], labels["test"].tolist(),
            fit.scores["test"].sigmoid().tolist(), strict=True,
        )  # fmt: skip
        keys = ("id", "patient_id", "label", "probability")
        views.append(
            {
                "view": view,
                "inputs": fit.num_inputs,
                "penalty": fit.penalty,
                "auroc_val": fit.auroc_val,
                "images": [dict(zip(keys, row, strict=True)) for row in rows],
            }
        )
    write_json_atomic(
        path, {"format": "understudy-linear-baseline", "format_version": 1, "about": about}
        | {"views": views}
    )  # fmt: skip
    return None


def read_linear_baseline(folder: StudyFolder) -> list[dict[str, Any]]:
    """The views that were measured; empty where none was."""
    path = folder.linear_baseline
    return read_json(path)["views"] if path.is_file() else []


def _settings(study: Study) -> dict[str, Any]:
    specification = study.specification
    baseline = specification.scenario(specification.baseline_scenario)

    def setting(name: str) -> Any:
        return data_setting(specification, baseline, specification.models[0], name)

    imbalance = setting("imbalance")
    return {
        "label_column": setting("label_column"),
        "imbalance": None if imbalance is None else float(imbalance),
        "seed": specification.seeds[0],
        **({} if baseline.size is None else {"fraction_of_patients": baseline.size}),
    }


def _small_films(data: "ChestXrayDataModule", split: str) -> dict[str, Any]:
    """All films of a split, grey at 32 pixels (4 KB each), with labels, ids and patients."""
    import torch

    parts = [data.to_unit(batch) for batch in data.evaluation_loader(split)]
    return {
        "films": torch.cat([part["image"].mean(dim=1, keepdim=True) for part in parts]),
        "labels": torch.cat([part["label"] for part in parts]),
        "ids": [name for part in parts for name in part["id"]],
        "patients": [patient for part in parts for patient in part["patient_id"]],
    }
