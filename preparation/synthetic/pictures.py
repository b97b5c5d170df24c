"""Two or three plain folders of pictures, made comparable: a cache of the real ones and a set.

For `evaluate.py images` and `audit`, where nobody has prepared anything. All pictures are squared,
resized to one side, made grey and otherwise left as they are. What is made shows patients; it lies
beside the results, in a folder that only its owner may open.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from datamodules.film_cache import FILMS_PER_SHARD, FilmCache
from licences import Licence
from patient_names import KNOWN_SALT
from preparation.claim import claimed
from preparation.films.film import FilmFile
from preparation.films.film_layout import FilmLayout
from preparation.films.image_files import ImageFileReader
from preparation.films.label_table import LabelTable, read_label_table
from preparation.films.prepare import FilmOptions, prepare_films
from preparation.films.shards.labels import LabelsOfFilms
from preparation.films.shards.make import MakeFilmShard
from preparation.films.shards.patients import PatientsOfFilms
from preparation.pseudonym import Naming
from preparation.split import Split
from preparation.synthetic.command import synthetic
from preparation.synthetic.films import ReadPictures, Shown
from preparation.synthetic.labels import ClassOptions
from preparation.synthetic.plain_folders import PlainFolders
from preparation.synthetic.real_pictures import HELD_OUT, REAL, ReadReal, pictures_of
from preparation.synthetic.request import PICTURES, UNKNOWN, scale_of
from preparation.synthetic.source import SourceFile, find_source
from provenance import UserError

_LARGEST_SIDE = 256
_LOOKED_AT = 200  # files, for the usual size


@dataclass
class Prepared:
    """What was made of plain folders.

    Attributes:
        cache: Of the real images.
        made: The synthetic set.
        notes: Sentences for the reader of the results.
    """

    cache: Path
    made: Path
    notes: list[str] = field(default_factory=list)


def prepared_pictures(
    real: Path, made: Path, out: Path, folders: PlainFolders, split: Split
) -> Prepared:
    """Prepare plain folders beside the results; what is there already is gone on with.

    Args:
        real: Folder of real images.
        made: Folder of synthetic ones.
        out: Folder of the results: what is prepared lies in `<out>.prepared/`.
        folders: The others, and whose the real images are.
        split: How real images are divided where no folder is held out.

    Raises:
        UserError: A folder holds no image, flags do not go together, or what was prepared there was
            prepared otherwise.
    """
    private = out.absolute().with_name(f"{out.absolute().name}.prepared")
    private.mkdir(mode=0o700, parents=True, exist_ok=True)
    private.chmod(0o700)
    size = folders.image_size or _usual_side(find_source(made, "--synthetic")[0])
    cache = private / "real"
    notes = _real_cache(cache, real, folders, size, split)
    outcome = synthetic(
        out=private / "synthetic",
        source=made,
        trained_on=UNKNOWN,
        like=cache,
        made_by="plain folder of images",
        values=folders.values,
        classes=ClassOptions(labels="none"),
        workers=folders.workers,
    )
    notes.append(
        f"Plain folders were compared: all images were squared, made grey and resized to {size} "
        "pixels, and otherwise taken as they are. Differences in contrast, borders and burnt-in "
        "text between the folders count as differences of the images."
    )
    if outcome.left_out:
        notes.append(f"{len(outcome.left_out)} synthetic files could not be used.")
    return Prepared(cache, private / "synthetic", notes)


def _real_cache(out: Path, real: Path, folders: PlainFolders, size: int, split: Split) -> list[str]:
    """Make the cache of the real images, and return sentences on it."""
    if folders.patients is not None and (folders.patient_pattern or folders.patient_from != "file"):
        raise UserError(
            f"--patients {folders.patients} and --patient-pattern or --patient-from: each says "
            "whom an image shows. Give one of them."
        )
    naming = Naming()
    table = None
    if folders.patients is not None:
        table = read_label_table(folders.patients, None, (), None, {}, naming.ids)
        if table.patient_column is None:
            raise UserError(
                f"--patients {folders.patients}: has no column patient or patient_id. There are "
                f"{', '.join(table.header)}."
            )
    sources = {REAL: real} | ({HELD_OUT: folders.held_out} if folders.held_out else {})
    files: list[FilmFile] = []
    for kind, folder in sources.items():
        flag = "--held-out" if kind == HELD_OUT else "--real"
        for source in find_source(folder, flag)[0]:
            files += pictures_of(source, kind)
    reader = ReadReal(
        ReadPictures(1, scale_of(folders.values), with_ct=True),
        ImageFileReader(
            1,
            folders.patient_pattern,
            "none" if folders.patient_pattern else folders.patient_from,
        ),
        folders.held_out is not None,
    )
    layout = FilmLayout(dataset=PICTURES, image_size=size, margin=0.0, clahe="none")
    settings = {
        "command": PICTURES,
        "format": FilmCache.FORMAT,
        "format_version": FilmCache.FORMAT_VERSION,
        "films_per_shard": FILMS_PER_SHARD,
        "layout": layout.plain(),
        "values": list(folders.values),
        "patients_from": hashlib.sha256(
            repr((folders.patient_pattern, folders.patient_from, table and table.rows)).encode()
        ).hexdigest(),
        "held_out": folders.held_out is not None,
        "patients": naming.names.plain(),
    }
    if folders.held_out is not None:
        split = Split(by="published")
    work = MakeFilmShard(
        out=out,
        reader=reader,
        layout=layout,
        patients=PatientsOfFilms(KNOWN_SALT, naming.ids),
        labels=LabelsOfFilms(table),
        may_crash=any(file.name.lower().endswith(".dcm") for file in files),
    )
    with claimed(out, settings, split):
        options = FilmOptions(workers=folders.workers)
        outcome = prepare_films(files, work, split, settings, options, Licence())
    cache = outcome.cache
    notes = _on_patients(cache, folders, table)
    if outcome.num_left_out:
        notes.append(f"{outcome.num_left_out} real files could not be used.")
    if folders.held_out is not None and (shared := cache.manifest["duplicates"]["across_splits"]):
        notes.append(
            f"{shared} images lie in the real folder and in the held-out one too. They make copies "
            "look usual: take them out of the held-out folder."
        )
    elif folders.held_out is None and split.all_to is None:
        notes.append(
            "No folder was held out, so some of the real patients were (by a draw). If the "
            "generator learnt from them too, copies of their images cannot be seen; "
            "--held-out FOLDER with images that it never saw is better."
        )
    return notes


def _on_patients(cache: FilmCache, folders: PlainFolders, table: LabelTable | None) -> list[str]:
    if table is None and folders.patient_pattern is None and folders.patient_from == "file":
        return [
            "Whose the real images are is unknown: every file counts as one patient. If a patient "
            "has several, intervals are too short, and a likeness between patients is "
            "overestimated, which hides copies. --patient-pattern, --patients TABLE or "
            "--patient-from folder tells."
        ]
    number = len(np.unique(cache.patient_ids))
    alone = "; files that the table does not list count as one patient each" if table else ""
    return [f"The real images are of {number} patients, as far as was told{alone}."]


def _usual_side(files: Sequence[SourceFile]) -> int:
    """The most common longer side of some pictures, at most `_LARGEST_SIDE`.

    Raises:
        UserError: None of them can be read.
    """
    reader, sides = ReadPictures(1, with_ct=True), Counter[int]()
    step = max(1, len(files) // _LOOKED_AT)
    for source in files[::step]:
        try:
            _, shown = next(iter(reader(source)))
        except Exception:  # it is listed when it is prepared
            continue
        if isinstance(shown, Shown):
            sides[max(shown.pixels.shape[:2])] += 1
    if not sides:
        raise UserError(
            "--synthetic: none of the images that were looked at can be read, so their usual size "
            "is not known. Give --image-size to have each listed with its reason."
        )
    return min(_LARGEST_SIDE, sides.most_common(1)[0][0])
