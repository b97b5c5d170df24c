"""Call a folder of new images by a trained model. The flags of predict.py are these arguments."""

from dataclasses import asdict
from pathlib import Path
from typing import Literal

from device import Device
from prediction.outcome import NOTICE, RESULT, Outcome
from preparation.films.dicom.header import DicomOptions
from provenance import UserError

_BATCH_SIZES = {"classification": 32, "segmentation": 8}
_ANY_VIEW = DicomOptions(view=("any",))


def predict(
    *,
    checkpoint: Path,
    source: Path,
    out: Path,
    threshold: str | None = None,
    evaluation: Path | None = None,
    grad_cam: bool = False,
    format: Literal["nifti", "dicom_seg"] | None = None,
    overlays: bool = True,
    window_width_hu: float | None = None,
    window_center_hu: float | None = None,
    variable_spacing: bool = False,
    dicom: DicomOptions = _ANY_VIEW,
    root: Path | None = None,
    batch_size: int | None = None,
    workers: int = 1,
    strict: bool = False,
    device: Device = "auto",
) -> Outcome:
    """Apply a trained classifier or segmenter to a folder of new images. Not for diagnosis.

    Images are prepared like the training images; the training data is not needed. A classifier
    writes a row of probabilities per film, a segmenter a label map in the geometry of each volume,
    series or picture, its volumes in ml and an overlay. After an interruption, give the same
    command again: it continues where it stopped.

    Args:
        checkpoint: A classifier's or a segmenter's checkpoint, as train.py wrote it.
        source: Folder of the new images (DICOM, PNG, JPEG; for a segmenter CT series in DICOM,
            NIfTI, 8-bit PNG), or one file; only read.
        out: Folder for predictions.csv, predictions.json, left_out.csv and the pictures.
        threshold: Classifiers of two classes or of findings only. The probability at and above
            which the second class, or a finding, is predicted: youden, sensitivity_90,
            sensitivity_95, specificity_90 or specificity_95 as chosen on the validation split, or a
            number. Default: youden.
        evaluation: Classifiers only. Folder of a finished evaluation of this checkpoint, whose
            thresholds are used if the checkpoint has none.
        grad_cam: Classifiers only. Draw a Grad-CAM for each film, which takes longer.
        format: Segmenters only. File format for the label map of a DICOM series: nifti, or
            dicom_seg, which names the patient and the study and belongs in the patient's record.
        overlays: Segmenters only. Draw the labels over the slices.
        window_width_hu: Only for segmenters trained on greys of an unknown window: width in HU of
            the window that makes CT look like the training images.
        window_center_hu: Likewise the centre of this window, in HU.
        variable_spacing: Segmenters only. Use series whose slices are unevenly spaced by design.
        dicom: See `DicomOptions`.
        root: The cache that the checkpoint was trained on; needed only for checkpoints of earlier
            versions, which do not record how their images were prepared.
        batch_size: Images at once; the results do not depend on it. Default: 8 slices or 32 films.
        workers: Processes that read images; 0 reads in this one, where a file that crashes its
            decoder ends the command.
        strict: Stop at the first file that cannot be predicted. Default: list it, continue without
            it, and end with exit status 3.
        device: "cpu", "cuda", or "auto" for a GPU where there is one.

    Raises:
        UserError: Wrong input; the sentence says which and what to do.
    """
    from lightning_modules.loading import refuse_settings
    from output_folder import claim_folder, locked
    from prediction.items import find_items
    from prediction.model import open_model
    from prediction.request import Request, chosen_thresholds, given_window, window_of
    from prediction.run import predict_all

    for flag, value, least in (("batch-size", batch_size, 1), ("workers", workers, 0)):
        if value is not None and value < least:
            raise UserError(f"--{flag} {value}: expected {least} or more.")
    _refuse_one_in_the_other(source, out)
    model = open_model(checkpoint, root, device)
    of_segmenters = {
        "format": format,
        "overlays": None if overlays else False,
        "window_width_hu": window_width_hu,
        "window_center_hu": window_center_hu,
        "variable_spacing": variable_spacing or None,
    }
    of_classifiers = {
        "threshold": threshold,
        "evaluation": evaluation,
        "grad_cam": grad_cam or None,
    }
    kind = type(model.module).__name__
    if model.of_films:
        refuse_settings(of_segmenters, checkpoint, "segmenters", kind)
    else:
        refuse_settings(of_classifiers, checkpoint, "classifiers", kind)
        for name, value in asdict(dicom).items():
            if value != getattr(_ANY_VIEW, name):
                refuse_settings({name: value}, checkpoint, "classifiers of films", kind)
    given = given_window(window_width_hu, window_center_hu)
    request = Request(
        task="classification" if model.of_films else "segmentation",
        thresholds=chosen_thresholds(model, threshold, evaluation) if model.of_films else [],
        grad_cam=grad_cam,
        series_as=format or "nifti",
        overlays=overlays,
        window=None if model.of_films else window_of(model, given),
        own_window=given is None or model.of_films or model.window is not None,
        variable_spacing=variable_spacing,
        dicom=dicom,
    )
    found = find_items(source, model.of_films, [channel.name for channel in model.channels])
    print(NOTICE)
    with locked(out, "predict.py"):
        identity = request.identity(model)
        claim_folder(out, RESULT, identity, "prediction", note={"finished": False})
        size = batch_size or _BATCH_SIZES[request.task]
        return predict_all(model, found, out, request, size, workers, strict)


def _refuse_one_in_the_other(source: Path, out: Path) -> None:
    """Results in the source would be taken for images by the next command."""
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out}: is a file, expected a folder. Nothing was changed.")
    here, there = source.resolve(), out.resolve()
    if here.is_dir() and (there == here or here in there.parents):
        raise UserError(
            f"--out {out}: is inside --source {source}, so its files would be read as "
            "images the next time. Nothing was written; give a folder outside of it."
        )
    if there in here.parents:
        raise UserError(
            f"--source {source}: is inside --out {out}. Nothing was written; give another --out."
        )
