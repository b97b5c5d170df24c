"""All images of a source, one after the other: read, predicted, written, listed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from prediction.films import ReadFilm
from prediction.films_table import film_columns, film_rows
from prediction.items import Found, Item, LeftOut, others_in_words
from prediction.model import Model
from prediction.outcome import NOTICE, RESULT, Outcome
from prediction.reading import Reader, read_each
from prediction.request import Request
from prediction.results import Results
from prediction.slices_table import slice_columns, slice_row
from prediction.threshold import Threshold
from prediction.volumes import ReadSlices
from provenance import UserError, library_versions, write_json_atomic


def predict_all(
    model: Model,
    found: Found,
    out: Path,
    request: Request,
    batch_size: int,
    workers: int,
    strict: bool,
) -> Outcome:
    """Predict what is left to do, in a folder that is this command's.

    Args:
        model: A classifier or a segmenter.
        found: What the source holds.
        out: Folder of the results.
        request: How.
        batch_size: Images at once.
        workers: Processes that read.
        strict: Stop at the first file that cannot be predicted.

    Raises:
        UserError: A predicted file has changed, the model predicts NaN, or with `strict`.
    """
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
    model: Model,
    todo: list[Item],
    results: Results,
    out: Path,
    request: Request,
    batch_size: int,
    workers: int,
    strict: bool,
    bar: Any,
) -> Iterator[list[dict[str, Any]]]:
    """Rows of the images that are left to do, as they are finished."""
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


def _leave_out(results: Results, name: str, reason: str, strict: bool) -> None:
    results.leave_out(name, reason)
    if strict:
        raise UserError(
            f"{name}: {reason} Stopped here, as --strict says; what is finished is kept. Mend it "
            "and give the same command again, or leave --strict out: then the others are predicted "
            "and this one is listed."
        )


def _notes(model: Model, request: Request) -> list[str]:
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


def _in_words(model: Model, thresholds: list[Threshold | None]) -> list[str]:
    """Lines on the thresholds for the terminal."""
    if not model.of_findings:
        return [f"Threshold: {one.in_words}." for one in thresholds if one is not None]
    return [
        f"Threshold of {name}: {one.in_words if one else 'none, so it is not called'}."
        for name, one in zip(model.class_names, thresholds, strict=True)
    ]
