"""What a report shows of a study's generators: curves, and their images beside real ones."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from datamodules.film_cache import FilmCache
from datamodules.named_files import inside
from datamodules.open_cache import open_cache
from datamodules.slice_cache import SliceCache
from datamodules.synthetic import SyntheticSet
from display.pages import PageFigure
from provenance import UserError
from studies.report.downstream.plots import generator_curves
from studies.report.sheets import real_synthetic_films, real_synthetic_sheet
from studies.run.folder import StudyFolder
from studies.specification.generator_names import generator_job
from studies.specification.specification import Specification, find_path

_ALT = "Rows of real and of synthetic images."


def curves_of_generators(folder: StudyFolder, specification: Specification) -> list[PageFigure]:
    """Losses of every generator that is finished with a seed."""
    figures = []
    for name, records in _records_of(folder, specification).items():
        title = specification.title_of(name)
        if records:
            png = generator_curves(records)
            figures.append(
                PageFigure(
                    f"The training of {title}" if title else "The generator's training",
                    png,
                    f"Losses of {title or 'the generator'}'s training against images seen, one "
                    "line per seed.",
                    "" if png else "no loss was logged.",
                )
            )
    return figures


def sheets_of_generators(
    folder: StudyFolder,
    specification: Specification,
    content: Mapping[str, Any],
    records: Sequence[Mapping[str, Any]],
) -> list[PageFigure]:
    """Real and synthetic images: of every generator those of one seed; or of the set in its place.

    Args:
        folder: Of the study.
        specification: The study.
        content: Of its report.
        records: JSON of its finished cells.
    """
    if specification.synthetic is not None:
        given = partial(_given_set, specification.synthetic, records)
        return [_sheet(content, "", given)]
    figures = []
    for name, made in _records_of(folder, specification).items():
        title = specification.title_of(name)
        if made:
            figures.append(_sheet(content, title, partial(_set_of, folder, made[0]["name"])))
        else:
            caption = f"{f'no generator {title}'.rstrip()} is finished."
            figures.append(PageFigure(_titled(title), None, _ALT, caption))
    return figures


def _titled(generator: str) -> str:
    return f"Real and synthetic images{f': {generator}' if generator else ''}"


def _records_of(
    folder: StudyFolder, specification: Specification
) -> dict[str, list[Mapping[str, Any]]]:
    """JSON of the finished jobs of each generator, by its name."""
    found: dict[str, list[Mapping[str, Any]]] = {name: [] for name in specification.plans}
    for record in folder.finished_generators():
        made = generator_job(record["name"])
        if made is not None and made.generator in found:
            found[made.generator].append(record)
    return found


def _sheet(
    content: Mapping[str, Any], generator: str, find: Callable[[], tuple[Path, str]]
) -> PageFigure:
    """A sheet of the set that `find` gives, with what is said of it."""
    try:
        synthetic, told = find()
        cache = _study_data(content)
        if isinstance(cache, FilmCache):
            png, caption = real_synthetic_films(cache, synthetic)
        else:
            png, caption = real_synthetic_sheet(cache, synthetic)
    except (UserError, OSError, ValueError, KeyError) as error:
        told = f"could not be drawn ({type(error).__name__}: {error})"
        return PageFigure(_titled(generator), None, _ALT, told)
    return PageFigure(_titled(generator), png, _ALT, f"{caption} {told}")


def _set_of(folder: StudyFolder, job: str) -> tuple[Path, str]:
    made = generator_job(job)
    assert made is not None  # only the records of such jobs are asked for
    share = "" if made.size is None else f", size{made.size:g}"
    return inside(
        folder.root, f"synthetic/{made.set_name}"
    ), f"Generator of seed {made.seed}{share}."


def _given_set(written: str, records: Sequence[Mapping[str, Any]]) -> tuple[Path, str]:
    """The set in place of a generator, if it is the one that the cells were trained with.

    Raises:
        UserError: It is not there any more, or another one is.
    """
    found = SyntheticSet.open(find_path(written))
    used = {record["settings"].get("synthetic_set") for record in records} - {None}
    if used != {found.content_sha256}:
        raise UserError(f"{found.root}: holds other images than those of the study.")
    return found.root, f"The set {found.root.name}, of all seeds."


def _study_data(content: Mapping[str, Any]) -> SliceCache | FilmCache:
    """The cache of the study; never another one that lies where a study from others says.

    Raises:
        UserError: It is not there, or holds other images.
    """
    cache = open_cache(content["data_root"])
    told = content["data"].get("content_sha256", cache.content_sha256)
    if told != cache.content_sha256:
        raise UserError(f"{cache.root}: holds other images than those of the study.")
    return cache
