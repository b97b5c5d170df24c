"""Score a checkpoint, each kind of model in its way.

The flags of evaluate.py are the function's arguments: nothing heavy is imported before the call.
"""

from pathlib import Path
from typing import Any, Literal

from device import Device
from evaluation.folder import Split
from gates.names import OF_CHECKPOINTS
from gates.rules import parse_rules
from provenance import UserError
from worker_pool import worded_loading


def evaluate(
    checkpoint: Path,
    out: Path,
    root: Path | None = None,
    split: Split = "test",
    seen: Literal["refuse", "exclude"] = "refuse",
    absent_class: Literal["skip", "one"] | None = None,
    slices: Literal["foreground", "all"] | None = None,
    compare: list[Path] | None = None,
    corruptions: list[str] | None = None,
    corruption_seed: int | None = None,
    batch_size: int | None = None,
    num_workers: int = 0,
    device: Device = "auto",
    show_progress: bool = True,
    require: str | None = None,
) -> dict[str, Any]:
    """Score a checkpoint on one split of a cache, each kind of model in its way.

    A segmenter leaves evaluation.json, images.csv, patients.csv and predictions.png; a classifier
    evaluation.json, images.csv, roc.png, reliability.png, grad_cam.png and report.html; one of
    several findings evaluation.json, images.csv, findings.csv, auroc.png, roc.png, grad_cam.png and
    report.html.

    Args:
        checkpoint: A segmenter's or a classifier's checkpoint, as train.py wrote it.
        out: Folder for the results. One that holds another evaluation is refused, never
            overwritten; the same evaluation is computed again.
        root: The cache to score on; --data.root means the same. Default: the one on which the
            checkpoint was trained.
        split: Which split to score; "all" scores every image, for example of another hospital's
            cache; add --seen exclude if the model may have seen some of them.
        seen: What to do with images on which the model was trained, and other images of the same
            patients. "refuse" a split with such images; or "exclude" them, and those that chose the
            checkpoint, and score the others.
        absent_class: Segmenters only. The score of a class that is neither in the ground truth nor
            in the prediction of an image: "skip" leaves the class out of that image's mean, "one"
            counts it as 1. Default: the checkpoint's setting.
        slices: Segmenters only. "foreground" scores only slices with a foreground, "all" scores
            every slice. Default: as in the training.
        compare: Classifiers only. Folders of finished evaluations of other classifiers on the same
            films: differences in AUROC with confidence intervals and DeLong's test.
        corruptions: Score clean and corrupted images instead of the usual evaluation: names of
            corruptions, such as gaussian_noise jpeg, or "all". Writes evaluation.json,
            corruptions.csv, severity.png, corrupted.png and report.html.
        corruption_seed: Seed of the corruptions' random numbers. Default: 0.
        batch_size: Images scored at once; the scores do not depend on it. Default: 8 slices or 32
            films.
        num_workers: Processes that load images; 0 loads in this one.
        device: "cpu", "cuda", or "auto" for a GPU where there is one.
        show_progress: A progress bar with the time left.
        require: Rules for the scores, such as "auroc>=0.8, num_patients>=100". If a score has a
            confidence interval, its unfavourable end is used. Exit status 0: all rules hold; 3: one
            does not; 4: one cannot be decided, for example with too few images. The evaluation is
            written in any case.

    Returns:
        The content of evaluation.json.

    Raises:
        UserError: Wrong input; the sentence says which and what to do.
    """
    from evaluation.checkpoint import open_checkpoint
    from evaluation.classification.evaluate import score_classifier
    from evaluation.findings.evaluate import score_findings
    from evaluation.segmentation import score_segmenter
    from lightning_modules import FindingsClassifier, Segmenter
    from lightning_modules.loading import refuse_settings

    rules = parse_rules(require, OF_CHECKPOINTS)
    with worded_loading(num_workers, "--num-workers"):
        opened = open_checkpoint(
            Path(checkpoint), root, split, batch_size, num_workers, device, seen, slices=slices
        )
        segmenter = isinstance(opened.module, Segmenter)
        of_segmenters = {"absent_class": absent_class, "slices": slices}
        if segmenter:
            refuse_settings({"compare": compare}, checkpoint, "classifiers", "Segmenter")
        elif isinstance(opened.module, FindingsClassifier):
            of_others: dict[str, Any] = {
                **of_segmenters,
                "compare": compare,
                "corruptions": corruptions,
            }
            of_others["corruption_seed"] = corruption_seed
            owners = "classifiers of one class a film, or of segmenters"
            refuse_settings(of_others, checkpoint, owners, "FindingsClassifier")
            return score_findings(opened, Path(out), show_progress, rules)
        else:
            refuse_settings(of_segmenters, checkpoint, "segmenters", "Classifier")
        if corruptions is not None:
            if compare is not None:
                raise UserError(
                    "--compare: compares evaluations of clean images, and --corruptions makes one "
                    "of corrupted ones. Give one of the two."
                )
            from evaluation.robustness.measure import score_corrupted

            seed = corruption_seed or 0
            if seed < 0:
                raise UserError(f"--corruption-seed {seed}: must be 0 or more.")
            return score_corrupted(
                opened, Path(out), corruptions, seed, absent_class, show_progress, rules
            )
        if corruption_seed is not None:
            raise UserError("--corruption-seed: is of --corruptions. Give both, or neither.")
        if segmenter:
            return score_segmenter(opened, Path(out), absent_class, show_progress, rules)
        return score_classifier(opened, Path(out), compare or [], show_progress, rules)
