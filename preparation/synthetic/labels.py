"""Which class each image of a brought-in set shows, in the words of the cache that it joins."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from datamodules.film_cache import FilmCache
from preparation.films.files.find import class_folders
from preparation.films.label_table import read_label_table
from preparation.label_map import lost_pairs, parse_label_map
from preparation.synthetic.source import SourceFile
from preparation.text_file import as_text
from provenance import UserError
from spelling import meant, meant_path


@dataclass(frozen=True, kw_only=True)
class ClassOptions:
    """Which classes the images show.

    Attributes:
        labels: Films only. Table (CSV) with a row per image, or none for no labels. Default: the
            names of the class folders, if the images are in 2 to 20 folders.
        label: Films only. The class of all images.
        label_column: Films only. The cache's label column with these classes; the table's column
            has the same name. Default: the cache's first.
        key_column: Column of the table that names the image. Default: as prepare.py image_folder.
        label_map: Films: the cache's names of the classes, as pairs such as PNEUMONIA=pneumonia
            (nothing after = removes the label). Slices: classes of the values of label maps, such
            as 255=kidney. Or a file with one pair per line.
        unlabelled: What to do with films without a label, if others have one: leave them out
            (reject), or keep them.
    """

    labels: str | None = None
    label: str | None = None
    label_column: str | None = None
    key_column: str | None = None
    label_map: tuple[str, ...] = ()
    unlabelled: Literal["reject", "keep"] = "reject"

    @property
    def new_names(self) -> dict[str, str]:
        """The label map; see `parse_label_map`."""
        return parse_label_map(self.label_map)


@dataclass(frozen=True)
class Classes:
    """What is known of the classes of the images.

    Attributes:
        names: Of the classes, in the cache's order; none without labels.
        of_file: The class of each file by its number; files without one are not in it.
        notes: Sentences for the person.
    """

    names: tuple[str, ...]
    of_file: Mapping[int, str]
    notes: tuple[str, ...] = ()


def classes_of_films(
    files: Sequence[SourceFile], cache: FilmCache, options: ClassOptions, source: Path
) -> Classes:
    """Find the class of each file.

    Args:
        files: Of the source.
        cache: The one that the set shall join.
        options: Where labels stand.
        source: What the files were found in, for the sentences.

    Raises:
        UserError: A label is none of the cache's classes; or flags that do not go together.
    """
    given = [options.labels not in (None, "none"), options.label is not None]
    if all(given):
        raise UserError(
            f"--labels {options.labels} and --label {options.label}: both say the class. Give one."
        )
    if not cache.label_columns:
        if any(given):
            flag = "--labels" if given[0] else "--label"
            raise UserError(
                f"{flag}: {cache.root} has no labels, so the images cannot have one. Leave it out."
            )
        return Classes((), {})
    column = options.label_column or cache.label_columns[0]
    names = tuple(cache.class_names(column))
    if options.label is not None:
        label = _of_cache([options.label], names, options.new_names, cache, "--label")
        return Classes(names, {file.number: label[options.label] for file in files})
    if given[0]:
        return _of_table(files, cache, options, column, names)
    folders = class_folders([file.file for file in files]) if options.labels is None else {}
    if not folders:
        note = "the images have no labels; --labels TABLE or --label CLASS gives them."
        return Classes(names, {}, (note,) if options.labels is None else ())
    where = f"the class folders of {source}"
    known = _of_cache(folders, names, options.new_names, cache, where, lower=True)
    of_file = {
        file.number: known[name]
        for file in files
        if known[name := as_text(PurePosixPath(file.file.name).parent.name)]
    }
    counted = ", ".join(f"{name} {number:,}" for name, number in folders.items())
    note = f"labels are the names of the folders ({counted}); --labels none leaves them out."
    return Classes(names, of_file, (note,))


def _of_table(
    files: Sequence[SourceFile],
    cache: FilmCache,
    options: ClassOptions,
    column: str,
    names: tuple[str, ...],
) -> Classes:
    path = Path(str(options.labels))
    if not path.is_file():
        raise UserError(
            f"--labels {path}: there is no such file.{meant_path(path)} Give the label table (CSV)."
        )
    table = read_label_table(path, options.key_column, (column,), None, {})
    rows = {
        file.number: table.row_of(
            (file.file.name, PurePosixPath(file.file.name).name, PurePosixPath(file.stem).name)
        )
        for file in files
    }
    found = {number: row[column] for number, row in rows.items() if row and row[column]}
    if not found:
        raise UserError(
            f"--labels {path}: lists none of the {len(files):,} images. It shall name them by "
            "their file names; give the column with --key-column."
        )
    known = _of_cache(found.values(), names, options.new_names, cache, f"--labels {path}")
    lost = [old for old in options.new_names if old not in {*found.values()}]
    notes = lost_pairs(f"--labels {path}", lost, {*found.values()})
    of_file = {number: known[label] for number, label in found.items() if known[label]}
    return Classes(names, of_file, tuple(notes))


def _of_cache(
    labels: Iterable[str],
    names: Sequence[str],
    new_names: Mapping[str, str],
    cache: FilmCache,
    where: str,
    lower: bool = False,
) -> dict[str, str]:
    """The cache's class of each label; "" where the map makes it none.

    Args:
        labels: Of the source.
        names: Of the cache's classes; capitals do not count, unless two differ in them alone.
        new_names: The label map.
        cache: For the sentence.
        where: The labels come from, likewise.
        lower: Labels are names of folders, which image_folder lowers.
    """
    by_lower = Counter(name.lower() for name in names)
    of_lower = {name.lower(): name for name in names if by_lower[name.lower()] == 1}
    found: dict[str, str] = {}
    for label in dict.fromkeys(labels):
        own = label.lower() if lower else label
        new = new_names.get(label, new_names.get(own, own))
        if new and new not in names:
            if new.lower() not in of_lower:
                raise UserError(
                    f"{where}: {new!r} is no class of {cache.root}.{meant(new, names)} There are "
                    f"{', '.join(names)}. Say which of them it is with --label-map "
                    f"{label}={names[-1]}, or that it is no label with {label}= (such images are "
                    "left out, or kept with --unlabelled keep)"
                    + ("; --labels none if the folders are no classes." if lower else ".")
                )
            new = of_lower[new.lower()]
        found[label] = new
    return found
