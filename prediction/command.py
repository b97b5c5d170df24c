"""Call a folder of new images by a trained model. The flags of predict.py are these arguments."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from device import Device
from preparation.films.dicom.header import DicomOptions
from provenance import UserError

if TYPE_CHECKING:
    from prediction.items import Found, Item
    from prediction.model import Model
    from prediction.results import Results
    from prediction.threshold import Threshold

NOTICE = (
    "Not for diagnosis or any clinical decision: what follows is a research model's output, and "
    "nobody has shown how often it is right on these images."
)
RESULT = "predictions.json"
_BATCH_SIZES = {"classification": 32, "segmentation": 8}
_ANY_VIEW = DicomOptions(view=("any",))


@dataclass(frozen=True)
class Outcome:
    """What a prediction leaves.

    Attributes:
        out: Its folder.
        num_predicted: Images with a row, earlier ones too.
        num_resumed: Those of them that were there before.
        num_left_out: Files that are listed as left out.
        thresholds: Sentences on them.
        notes: Sentences on all of it.
    """

    out: Path
    num_predicted: int
    num_resumed: int
    num_left_out: int
    thresholds: list[str]
    notes: list[str]


@dataclass(frozen=True)
class _Request:
    """How new images are predicted, once the flags have been judged."""

    task: str
    thresholds: "list[Threshold | None]"
    grad_cam: bool
    series_as: Literal["nifti", "dicom_seg"]
    overlays: bool
    window: tuple[float, float] | None
    own_window: bool
    variable_spacing: bool
    dicom: DicomOptions

    def identity(self, model: "Model") -> dict[str, Any]:
        """What may not differ between commands that fill one folder; plain values."""
        shared = {"task": self.task, "checkpoint_sha256": model.sha256}
        if self.task == "classification":
            values = [None if one is None else one.value for one in self.thresholds]
            given = {"grad_cam": self.grad_cam, "dicom": asdict(self.dicom)}
            return {**shared, "thresholds": values, **given}
        return {
            **shared,
            "format": self.series_as,
            "overlays": self.overlays,
            "window": None if self.window is None else list(self.window),
            "variable_spacing": self.variable_spacing,
        }


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
    """Call a folder of new images by a trained classifier or segmenter. Not for diagnosis.

    Images are prepared as those of the training were, without any of its data. A classifier gives a
    row of probabilities per film, a segmenter a label map in the geometry of each volume, series or
    picture, its volumes in ml and an overlay. The same command goes on where it was interrupted.

    Args:
        checkpoint: A classifier's or a segmenter's checkpoint, as train.py wrote it.
        source: Folder of the new images (DICOM, PNG, JPEG; for a segmenter CT series in DICOM,
            NIfTI, 8-bit PNG), or one file; only read.
        out: Folder for predictions.csv, predictions.json, left_out.csv and what is drawn.
        threshold: Classifiers of two classes or of findings only. From which probability a film is
            called the second class, or to have a finding: youden, sensitivity_90, sensitivity_95,
            specificity_90 or specificity_95 as chosen on the validation split, or a number.
            Default: youden.
        evaluation: Classifiers only. Folder of a finished evaluate.py of this checkpoint, whose
            thresholds to take where the checkpoint tells none.
        grad_cam: Classifiers only. Draw where each film's score comes from, which takes longer.
        format: Segmenters only. What the label map of a DICOM series becomes: nifti, or dicom_seg,
            which carries the patient and the study of the series and belongs into their record.
        overlays: Segmenters only. Draw the labels over the slices.
        window_width_hu: Segmenters that were trained on greys of an unknown window only: width of
            the window in HU that makes CT look as those did.
        window_center_hu: The same of its centre.
        variable_spacing: Segmenters only. Use series whose slices lie unevenly apart, by design.
        dicom: See `DicomOptions`.
        root: The cache that the checkpoint was trained on, for checkpoints of earlier versions that
            do not tell how their images were prepared.
        batch_size: Images at once; the results do not depend on it. Default: 8 slices or 32 films.
        workers: Processes that read images; 0 reads in this one, where a file that crashes its
            decoder ends the command.
        strict: Stop at the first file that cannot be predicted. Default: list it, go on without it,
            and end with exit status 3.
        device: "cpu", "cuda", or "auto" for a GPU where there is one.

    Raises:
        UserError: Wrong input; the sentence says which and what to do.
    """
    from output_folder import claim_folder, locked
    from prediction.items import find_items
    from prediction.model import open_model

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
    if model.of_films:
        _refuse(of_segmenters, checkpoint, "segmenters", "Classifier")
    else:
        _refuse(of_classifiers, checkpoint, "classifiers", "Segmenter")
        for name, value in asdict(dicom).items():
            if value != getattr(_ANY_VIEW, name):
                _refuse({name: value}, checkpoint, "classifiers of films", "Segmenter")
    given = _window_given(window_width_hu, window_center_hu)
    request = _Request(
        task="classification" if model.of_films else "segmentation",
        thresholds=_thresholds(model, threshold, evaluation) if model.of_films else [],
        grad_cam=grad_cam,
        series_as=format or "nifti",
        overlays=overlays,
        window=None if model.of_films else _window(model, given),
        own_window=given is None or model.of_films or model.window is not None,
        variable_spacing=variable_spacing,
        dicom=dicom,
    )
    found = find_items(source, model.of_films, max(1, len(model.channels)))
    print(NOTICE)
    with locked(out, "predict.py"):
        identity = request.identity(model)
        claim_folder(out, RESULT, identity, "prediction", note={"finished": False})
        size = batch_size or _BATCH_SIZES[request.task]
        return _predicted(model, found, out, request, size, workers, strict)


def _predicted(
    model: "Model",
    found: "Found",
    out: Path,
    request: _Request,
    batch_size: int,
    workers: int,
    strict: bool,
) -> Outcome:
    from tqdm import tqdm

    from prediction.films_table import film_columns
    from prediction.items import others_in_words
    from prediction.results import Results
    from prediction.slices_table import slice_columns
    from provenance import library_versions, write_json_atomic

    columns = (
        film_columns(model, request.grad_cam)
        if model.of_films
        else slice_columns(model, request.overlays)
    )
    results = Results(out, columns)
    resumed = len(results.done)
    todo = results.left_to_do(found.items)
    for name, reason in found.left_out:
        _leave_out(results, name, reason, strict)
    bar = tqdm(total=len(found.items), initial=resumed, unit="image", desc="predict")
    with bar:
        for rows in _rows(model, todo, results, out, request, batch_size, workers, strict, bar):
            results.add(rows)
            bar.update(len(rows))
    number = results.finish()
    notes = _notes(model, request)
    if found.others:
        notes.append(f"Not looked at: {others_in_words(found.others)}.")
    thresholds = request.thresholds
    write_json_atomic(
        out / RESULT,
        {
            "notice": NOTICE,
            **request.identity(model),
            "finished": True,
            "checkpoint": model.checkpoint.name,
            "images_seen": model.record.get("images_seen"),
            "class_names": model.class_names,
            "thresholds_from": [one and one.plain() for one in thresholds],
            "image_form": dict(model.form),
            "network_size": model.network_size,
            "num_predicted": number,
            "num_left_out": results.left_out,
            "notes": notes,
            "versions": library_versions(),
        },
    )
    words = _in_words(model, thresholds)
    return Outcome(out, number, resumed, results.left_out, words, notes)


def _rows(
    model: "Model",
    todo: "list[Item]",
    results: "Results",
    out: Path,
    request: _Request,
    batch_size: int,
    workers: int,
    strict: bool,
    bar: Any,
) -> Iterator[list[dict[str, Any]]]:
    """Rows of the images that are left to do, as they are finished."""
    from prediction.films import ReadFilm
    from prediction.films_table import film_rows
    from prediction.items import LeftOut
    from prediction.reading import Reader, read_each
    from prediction.slices_table import slice_row
    from prediction.volumes import ReadSlices

    read: Reader
    if model.of_films:
        kinds = {"chest_xray": "dicom", "phantom_cxr": "dicom", "image_folder": "pictures"}
        trained_on = kinds.get(str(model.record.get("dataset")), "")
        views = tuple(model.form.get("views") or ())
        films = model.film_layout
        read = ReadFilm(films, model.network_size, views, trained_on, request.dicom)
    else:
        layout = model.slice_layout(request.window)
        read = ReadSlices(layout, request.own_window, request.variable_spacing)
    maps = out if request.grad_cam else None
    batch: list[Any] = []
    for item, made in read_each(read, todo, workers):
        if isinstance(made, LeftOut):
            _leave_out(results, item.name, made.reason, strict)
            bar.update(1)
        elif model.of_films:
            batch.append((item, made))
            if len(batch) == batch_size:
                yield film_rows(model, batch, request.thresholds, maps)
                batch = []
        else:
            made = slice_row(
                model, item, made, out, batch_size, request.series_as, request.overlays
            )
            if isinstance(made, LeftOut):
                _leave_out(results, item.name, made.reason, strict)
                bar.update(1)
            else:
                yield [made]
    if batch:
        yield film_rows(model, batch, request.thresholds, maps)


def _leave_out(results: "Results", name: str, reason: str, strict: bool) -> None:
    results.leave_out(name, reason)
    if strict:
        raise UserError(
            f"{name}: {reason} Stopped here, as --strict says; what is finished is kept. Mend it "
            "and give the same command again, or leave --strict out: then the others are predicted "
            "and this one is listed."
        )


def _notes(model: "Model", request: _Request) -> list[str]:
    """Sentences on the model that hold for every image."""
    notes = []
    data = model.record["data"]["init_args"]
    if not model.of_films and data.get("slices", "foreground") == "foreground":
        notes.append(
            "The model was trained on slices that hold one of its classes alone, so it has not "
            "learnt from others: expect more wrongly marked pixels where nothing is to be found."
        )
    if request.series_as == "dicom_seg":
        notes.append(
            "Each DICOM Segmentation carries the patient and the study of its series: it belongs "
            "into their record, and is not for handing on."
        )
    notes.append(
        "Files are named as the source names them. Where such a name identifies somebody, so do "
        "these tables and files."
    )
    return notes


def _thresholds(
    model: "Model", asked: str | None, evaluation: Path | None
) -> "list[Threshold | None]":
    from prediction.threshold import thresholds_of

    names = model.class_names
    if model.of_findings or len(names) == 2:
        findings = names if model.of_findings else ()
        return thresholds_of(
            model.checkpoint, model.sha256, model.record, asked, evaluation, findings
        )
    if asked is not None or evaluation is not None:
        raise UserError(
            f"--threshold and --evaluation: {model.checkpoint} tells apart {len(names)} classes, "
            "and the most probable one is called. Leave them out."
        )
    return []


def _in_words(model: "Model", thresholds: "list[Threshold | None]") -> list[str]:
    """Lines on the thresholds for the terminal."""
    if not model.of_findings:
        return [f"Threshold: {one.in_words}." for one in thresholds if one is not None]
    return [
        f"Threshold of {name}: {one.in_words if one else 'none, so it is not called'}."
        for name, one in zip(model.class_names, thresholds, strict=True)
    ]


def _window_given(width: float | None, center: float | None) -> tuple[float, float] | None:
    if width is None and center is None:
        return None
    if width is None or center is None or not 0 < width < float("inf"):
        raise UserError(
            "--window-width-hu and --window-center-hu: give both, the width above 0, such as "
            "--window-width-hu 400 --window-center-hu 40."
        )
    return width, center


def _window(model: "Model", given: tuple[float, float] | None) -> tuple[float, float] | None:
    own = model.window
    if model.channels and given is not None:
        raise UserError(
            "--window-width-hu and --window-center-hu: the checkpoint says how its channels "
            f"({', '.join(one.name for one in model.channels)}) become grey. Leave them out."
        )
    if own is not None and given is not None and own != given:
        raise UserError(
            f"--window-width-hu {given[0]:g} --window-center-hu {given[1]:g}: the checkpoint was "
            f"trained with {own[0]:g} HU around {own[1]:g} HU, and new images are prepared alike. "
            "Leave the flags out."
        )
    return own or given


def _refuse(flags: dict[str, Any], checkpoint: Path, owners: str, found: str) -> None:
    for name, value in flags.items():
        if value is not None:
            raise UserError(
                f"--{name.replace('_', '-')}: is a setting of {owners}, and {checkpoint} holds a "
                f"{found}. Leave it out."
            )


def _refuse_one_in_the_other(source: Path, out: Path) -> None:
    """Results in the source would be taken for images by the next command."""
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out}: is a file, expected a folder. Nothing was changed.")
    here, there = source.resolve(), out.resolve()
    if here.is_dir() and (there == here or here in there.parents):
        raise UserError(
            f"--out {out}: lies in --source {source}, so that what is written would be read as "
            "images the next time. Nothing was written; give a folder outside of it."
        )
    if there in here.parents:
        raise UserError(
            f"--source {source}: lies in --out {out}. Nothing was written; give another --out."
        )
