"""Which external test sets a study has: where they lie, what they hold, whether they will do."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datamodules.film_cache import FilmCache
from datamodules.open_cache import open_cache
from datamodules.slice_cache import SliceCache
from display.numbers import count
from provenance import UserError, read_json
from spelling import meant
from studies.run.fingerprint import describe_data
from studies.run.folder import Study, StudyFolder
from studies.specification.arms import data_setting
from studies.specification.specification import Specification


def paths_given(words: Sequence[str]) -> dict[str, Path]:
    """External sets of a command line, by name.

    Args:
        words: Each `NAME=CACHE`.

    Raises:
        UserError: One is not, or a name comes twice.
    """
    found: dict[str, Path] = {}
    for word in words:
        name, equals, path = word.partition("=")
        if not (name and equals and path):
            raise UserError(
                f"--external {word}: expected NAME=CACHE, such as kermany=data/kermany, with a "
                "name that stands under `external` in the study's YAML."
            )
        if name in found:
            raise UserError(
                f"--external {word}: {name} is {found[name]} already. Give one of both."
            )
        found[name] = Path(path)
    return found


def external_roots(
    specification: Specification, folder: StudyFolder, given: Mapping[str, Path]
) -> dict[str, Path]:
    """Where every external set of a study lies: as given, or as when the study was last run.

    Raises:
        UserError: A path of no set of this study, or a set without a path.
    """
    _check_names(specification, given)
    before = read_json(folder.study).get("external") or {} if folder.study.is_file() else {}
    roots = {name: Path(one["root"]) for name, one in before.items()} | dict(given)
    for name in specification.external:
        if name not in roots:
            raise UserError(
                f"external: {name}: where it lies is not known. Add --external {name}=CACHE, or "
                "leave it out of the study's YAML; it may be added later, without any training."
            )
    return {name: roots[name] for name in specification.external}


def check_external(study: Study) -> None:
    """Refuse external sets that no cell could be tested on, before anything is trained.

    Raises:
        UserError: No cache, the study's own data, or data of another kind or of other classes.
    """
    own = open_cache(study.root)
    for name, root in study.external.items():
        cache, at = open_cache(root), f"--external {name}={root}"
        if type(cache) is not type(own):
            kinds = {FilmCache: "films", SliceCache: "slices"}
            raise UserError(
                f"{at}: holds {kinds[type(cache)]}, and the study is one of {kinds[type(own)]}."
            )
        if cache.content_sha256 == own.content_sha256:
            raise UserError(
                f"{at}: holds the study's own images, whose test split every cell is tested on "
                "anyway. Give images of other patients."
            )
        theirs, ours = _classes(study.specification, cache), _classes(study.specification, own)
        if theirs != ours:
            raise UserError(
                f"{at}: has the classes {', '.join(theirs) or '(none)'}, and the study's data "
                f"{', '.join(ours) or '(none)'}. Prepare it with labels of these names, in this "
                "order (prepare.py --label-map for films, --labels for slices)."
            )
        if isinstance(own, SliceCache) and cache.image_size != own.image_size:
            raise UserError(
                f"{at}: holds images of {cache.image_size} px, and the study's are of "
                f"{own.image_size} px. Prepare it with --image-size {own.image_size}."
            )


def described(study: Study) -> dict[str, Any]:
    """What study.json says of its external sets: where they lie, what they are, how many images."""
    found = {}
    for name, root in study.external.items():
        cache = open_cache(root)
        found[name] = {
            "root": str(root),
            "data": describe_data(root),
            "images": len(cache),
            "patients": len(cache.patients(None)),
            "lacks": _without_pixels(cache) if isinstance(cache, SliceCache) else [],
        }
    return found


def external_lines(specification: Specification, given: Mapping[str, Path]) -> list[str]:
    """What `study.py plan` prints of external test sets: evaluations, and what each set holds.

    Raises:
        UserError: A path of no set of this study.
    """
    if not (specification.external or given):
        return []
    _check_names(specification, given)
    number, cells = len(specification.external), len(specification.cells())
    sets = count(number, "external set")
    lines = ["", f"External tests: {sets} x {count(cells, 'cell')}: {number * cells} evaluations"]
    lines[-1] += ", which train nothing"
    for name in specification.external:
        if name not in given:
            lines.append(f"  {name}: what it holds is not known: --external {name}=CACHE")
            continue
        cache = open_cache(given[name])
        held = f"{count(len(cache), 'image')} of {count(len(cache.patients(None)), 'patient')}"
        alone = "; one patient gives no interval" if len(cache.patients(None)) == 1 else ""
        lines.append(f"  {name}: {cache.root}: {held}{alone}")
    return lines


def _check_names(specification: Specification, given: Mapping[str, Path]) -> None:
    for name in given:
        if name not in specification.external:
            raise UserError(
                f"--external {name}={given[name]}: the study's YAML has no external set {name!r}."
                f"{meant(name, specification.external)} It has "
                f"{', '.join(specification.external) or 'none'}. Write `external: [{name}]` there, "
                "which changes no finished cell."
            )


def _classes(specification: Specification, cache: FilmCache | SliceCache) -> list[str]:
    """What the study's models would tell apart there; of several findings, those that it names."""
    if isinstance(cache, SliceCache):
        return list(cache.class_names)
    model = specification.models[0]
    baseline = specification.scenario(specification.baseline_scenario)
    if data_setting(specification, baseline, model, "findings") is not None:
        return []  # any set that knows some of them will do; the data's own check says which
    column = data_setting(specification, baseline, model, "label_column")
    columns = list(cache.label_columns)
    chosen = column or (columns[0] if columns else None)
    return list(cache.class_names(chosen)) if chosen in columns else []


def _without_pixels(cache: SliceCache) -> list[str]:
    """Classes that no label map of a cache holds."""
    held = [sum(pixels) for pixels in zip(*(one.class_pixels for one in cache.items), strict=True)]
    return [name for name, number in zip(cache.class_names, held, strict=False) if not number]
