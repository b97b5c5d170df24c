"""From a folder of films to a cache: in parallel, resumable, one film in memory per worker.

The manifest and the table of items are put together from the shards' records in the order of the
source, so a preparation that was killed and repeated, or done in parts on several machines and
merged, ends with the same bytes as one that went through.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from tqdm import tqdm

from datamodules.film_cache import FILMS_PER_SHARD, FilmCache
from licences import Licence
from patient_names import PatientNames
from preparation.disk import full_disk_as_user_error, record_path
from preparation.films.assemble import FilmOutcome, assemble
from preparation.films.crash_isolation import make_shards
from preparation.films.division import OnDuplicates
from preparation.films.film import FilmFile
from preparation.films.label_matching import matched
from preparation.films.shards.make import MakeFilmShard
from preparation.films.shards.shard import FilmShard, in_shards
from preparation.films.sheet import write_film_sheet
from preparation.films.tally import Tally
from preparation.licence import agreed_licence
from preparation.split import Split
from preparation.trainable_sizes import film_size_note
from preparation.verify import made_again_note
from provenance import UserError, read_json, write_json_atomic


@dataclass(frozen=True)
class Part:
    """Which share of the shards this machine makes: `index` of `of`, counted from 1."""

    index: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str) -> "Part":
        """Read `3/8`.

        Raises:
            UserError: It is no such pair, or the index lies outside.
        """
        index, _, of = text.partition("/")
        if not (index.isdigit() and of.isdigit() and 1 <= int(index) <= int(of)):
            raise UserError(f"--shard {text}: expected i/n with i from 1 to n, for example 3/8.")
        return cls(int(index), int(of))


@dataclass(frozen=True, kw_only=True)
class FilmOptions:
    """What every source of films takes.

    Attributes:
        split_by: patient: all films of a patient are in one split. image: films of one patient may
            be in several splits; every score is then too high.
        split_ratios: Shares of train, val and test.
        split_seed: Seed of the split. Another seed splits the patients differently.
        split_all_to: Put everything into train, val or test.
        on_duplicates: report: list equal and nearly equal films in duplicates.csv, and keep
            patients who share equal films in one split. same_split: also patients who share nearly
            equal films. drop: keep only the first of equal films; the others are listed in
            rejected.csv, with labels that differ.
        workers: Number of processes; each has one film in memory.
        licence: Licence of the data: kits19, 3d-ircadb, nih, kermany, chexpert, mimic-cxr, medmnist
            or own, a licence such as "CC BY-NC 4.0", or "<data>: <their licence>". It is copied
            into checkpoints and synthetic sets. Default: that of the source if it is known, else
            "not stated"; prepare.py licence states it later.
        strict: Stop at the first file that cannot be used. Default: list it, continue without it,
            and end with exit status 3. Films that were not asked for (another modality, part of
            the body or view) and a phantom's wrong files do not stop it.
        shard: i/n: prepare the i-th of n parts on this machine, into its own --out; prepare.py
            merge joins the parts.
        verify: Compare the results of an earlier run with their hashes; make damaged parts again.
    """

    split_by: Literal["patient", "image"] = "patient"
    split_ratios: tuple[float, float, float] = (0.6, 0.2, 0.2)
    split_seed: int = Split.seed
    split_all_to: Literal["train", "val", "test"] | None = None
    on_duplicates: OnDuplicates = "report"
    workers: int = 1
    licence: str | None = None
    strict: bool = False
    shard: str = "1/1"
    verify: bool = False

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise UserError(f"--workers {self.workers}: expected 1 or more.")
        Part.parse(self.shard)

    @property
    def split(self) -> Split:
        """How the films are split."""
        return Split(self.split_by, self.split_ratios, self.split_seed, self.split_all_to)

    @property
    def part(self) -> Part:
        """This machine's part of the work."""
        return Part.parse(self.shard)


def prepare_films(
    files: Sequence[FilmFile],
    work: MakeFilmShard,
    split: Split,
    settings: dict[str, Any],
    options: FilmOptions,
    licence: Licence,
) -> FilmOutcome:
    """Make every shard that is missing, then the table of items and the manifest.

    Args:
        files: The films of the source, in order.
        work: Makes one shard in `work.out`, which `claimed` holds.
        split: How the films are split.
        settings: All that decides on the bytes; a part keeps them for `merge`.
        options: This machine's part of the work, and how it is done.
        licence: Of the data.

    Raises:
        UserError: Nothing usable, a full disk, another source than before, an empty split.
    """
    out, whole, part = work.out, in_shards(files), options.part
    shards = whole[part.index - 1 :: part.of]
    todo, damaged = _left_to_do(work, shards, options.verify)
    again = {shard.name for shard in todo}
    for shard in shards if options.strict else ():  # those that an earlier run has finished
        if shard.name not in again:
            work.stop_at(shard, read_json(record_path(out, shard.name))["rejected"])
    for note in film_size_note(work.layout.image_size):
        print(f"note: {note}", flush=True)
    count = sum(len(shard.files) for shard in shards)
    resumed = count - sum(len(shard.files) for shard in todo)
    bar = tqdm(total=count, initial=resumed, unit="film", desc=f"prepare {work.layout.dataset}")
    with bar, full_disk_as_user_error(out, "shards"):
        for shard, _ in make_shards(work, todo, options.workers):
            bar.update(len(shard.files))
    names = [shard.name for shard in shards]
    if part.of > 1:
        write_json_atomic(
            out / "part.json",
            {
                "part": part.index,
                "of": part.of,
                "shards": names,
                "all_shards": len(whole),
                "settings": settings,
                "layout": work.layout.plain(),
                "split": split.plain(),
                "label_columns": list(work.labels.columns),
                "licence": licence.plain(),
            },
        )
        tally = Tally(out, names, ())
        return FilmOutcome(out, None, tally, resumed, made_again_note(damaged))
    outcome = assemble(
        out,
        names,
        work.layout,
        split,
        work.labels.columns,
        settings["patients"],
        licence,
        options.on_duplicates,
    )
    outcome.num_resumed = resumed
    outcome.notes[:0] = made_again_note(damaged)
    return outcome


def cache_settings(
    command: str,
    flags: Mapping[str, Any],
    label_table_sha256: Any,
    patients: PatientNames,
    options: FilmOptions,
) -> dict[str, Any]:
    """All that decides on the bytes of a cache, as plain values that name nobody.

    Args:
        command: Of prepare.py.
        flags: Its settings.
        label_table_sha256: Hash of the table of labels, or of several by their names.
        patients: How they are named.
        options: How the work is done.
    """
    return {
        "command": command,
        "format": FilmCache.FORMAT,
        "format_version": FilmCache.FORMAT_VERSION,
        "films_per_shard": FILMS_PER_SHARD,
        **{key: list(value) if isinstance(value, tuple) else value for key, value in flags.items()},
        "on_duplicates": options.on_duplicates,
        "patients": patients.plain(),
        "label_table_sha256": label_table_sha256,
    }


def prepared_with_sheet(
    files: Sequence[FilmFile],
    work: MakeFilmShard,
    split: Split,
    settings: dict[str, Any],
    options: FilmOptions,
    notes: list[str],
    known: Licence | None = None,
) -> FilmOutcome:
    """`prepare_films` under the licence that was agreed, and a sheet of what became of the films.

    Args:
        files: See `prepare_films`, as those that are not named here.
        work: Its table, if it has one, knows the films by their names.
        split: As there.
        settings: As there.
        options: As there.
        notes: Sentences that the outcome begins with.
        known: Licence that the command knows of its source.

    Raises:
        UserError: As there; or another licence was stated before.
    """
    licence = agreed_licence(work.out, settings["command"], options.licence, known)
    outcome = prepare_films(files, work, split, settings, options, licence)
    outcome.notes[:0] = notes
    if outcome.manifest is not None:
        write_film_sheet(outcome.cache, files, work)
    return outcome


def prepared_with_labels(
    files: Sequence[FilmFile],
    work: MakeFilmShard,
    split: Split,
    settings: dict[str, Any],
    options: FilmOptions,
    notes: list[str],
    uid_of: Callable[[FilmFile], str] | None = None,
    known: Licence | None = None,
) -> FilmOutcome:
    """`prepared_with_sheet`, after the table of labels was matched with the films.

    Args:
        files: See there, as those that are not named here.
        work: Its table may name the films in another way, see `matched`.
        split: As there.
        settings: As there.
        options: As there.
        notes: As there; what the table and the matching say comes after them.
        uid_of: See `matched`.
        known: As there.

    Raises:
        UserError: As there; or the table is of other films.
    """
    if work.labels.table is not None:
        table, more = matched(work.labels.table, files, uid_of)
        work = replace(work, labels=replace(work.labels, table=table))
        notes = [*notes, *table.notes, *more]
    return prepared_with_sheet(files, work, split, settings, options, notes, known)


def _left_to_do(
    work: MakeFilmShard, shards: Sequence[FilmShard], verify: bool
) -> tuple[list[FilmShard], list[str]]:
    """Shards that are left to make, and the names of those of them that were finished before."""
    out = work.out
    known = {path.stem for path in (out / "records").glob("*.json")}
    foreign = sorted(known - {shard.name for shard in shards})
    todo, damaged = list[FilmShard](), list[str]()
    for shard in shards:
        state = work.finished(shard, verify)
        if state is None or foreign:
            raise UserError(
                f"{out}: was made from other files than those in the source now "
                f"({foreign[0] if foreign else shard.name} differs: films were added, removed "
                "or changed). Nothing was changed. Give another --out."
            )
        if not state:
            if shard.name in known:
                damaged.append(shard.name)
                record_path(out, shard.name).unlink()
            todo.append(shard)
    return todo, damaged
