"""Score a checkpoint, each kind of model in its way."""

from pathlib import Path
from typing import Any, Literal

from evaluation.classification.evaluate import evaluate_classifier
from evaluation.folder import Split
from evaluation.segmentation import evaluate_segmenter
from lightning_modules.device import Device
from provenance import UserError


def evaluate(
    checkpoint: Path,
    out: Path,
    root: Path | None = None,
    split: Split = "test",
    absent_class: Literal["skip", "one"] | None = None,
    slices: Literal["foreground", "all"] | None = None,
    compare: list[Path] | None = None,
    batch_size: int | None = None,
    num_workers: int = 0,
    device: Device = "auto",
    show_progress: bool = True,
) -> dict[str, Any]:
    """Score a checkpoint on one split of a cache, each kind of model in its way.

    A segmenter leaves evaluation.json, images.csv, patients.csv and predictions.png; a classifier
    evaluation.json, images.csv, roc.png, reliability.png, grad_cam.png and report.html.

    Args:
        checkpoint: A segmenter's or a classifier's checkpoint, as train.py wrote it.
        out: Folder for the results. One that holds another evaluation is refused, never
            overwritten; the same evaluation is computed again.
        root: The cache to score on; --data.root is understood too. Default: the one that the
            checkpoint was trained on.
        split: Which split to score.
        absent_class: Segmenters only. What an image counts for a class that neither truth nor
            prediction holds: "skip" leaves the class out of that image's mean, "one" counts it as
            1. Default: the checkpoint's setting.
        slices: Segmenters only. "foreground" scores slices that hold any foreground, "all"
            scores every slice. Default: as the checkpoint was trained.
        compare: Classifiers only. Folders of finished evaluations of other classifiers on the same
            films: differences in AUROC with their intervals and DeLong's test.
        batch_size: Images scored at once; the scores do not depend on it. Default: 8 slices or 32
            films.
        num_workers: Processes that load images; 0 loads in this one.
        device: "cpu", "cuda", or "auto" for a GPU where there is one.
        show_progress: A progress bar with the time left.

    Returns:
        The content of evaluation.json.

    Raises:
        UserError: Wrong input; the sentence says which and what to do.
    """
    from lightning_modules import Classifier, Segmenter
    from lightning_modules.loading import load_module

    loaded = load_module(Path(checkpoint))
    given: dict[str, Any] = {"num_workers": num_workers, "device": device}
    given |= {"show_progress": show_progress, "loaded": loaded}
    if batch_size is not None:
        given["batch_size"] = batch_size
    of_segmenters = {"absent_class": absent_class, "slices": slices}
    of_classifiers = {"compare": compare}
    if isinstance(loaded[0], Segmenter):
        _refuse(of_classifiers, checkpoint, "classifiers", "Segmenter")
        return evaluate_segmenter(checkpoint, out, root, split, **of_segmenters, **given)  # type: ignore[arg-type]
    if isinstance(loaded[0], Classifier):
        _refuse(of_segmenters, checkpoint, "segmenters", "Classifier")
        return evaluate_classifier(checkpoint, out, root, split, compare=compare, **given)
    raise UserError(
        f"{checkpoint}: holds a {type(loaded[0]).__name__}, expected a Segmenter or a Classifier. "
        "A generator is judged by its images: make some with generate.py, then run evaluate.py "
        "images."
    )


def _refuse(flags: dict[str, Any], checkpoint: Path, owners: str, found: str) -> None:
    for name, value in flags.items():
        if value is not None:
            raise UserError(
                f"--{name.replace('_', '-')}: is a setting of {owners}, and {checkpoint} holds a "
                f"{found}. Leave it out."
            )
