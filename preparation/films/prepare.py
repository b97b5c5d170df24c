"""From a folder of films to a cache: in parallel, resumable, one film in memory per worker.

The manifest and the table of items are put together from the shards' records in the order of the
source, so a preparation that was killed and repeated, or done in parts on several machines and
merged, ends with the same bytes as one that went through.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from preparation.films.assemble import (
    FilmOutcome,
    OnDuplicates,
    Tally,
    put_together,
)
from preparation.films.crash_isolation import make_shards
from preparation.films.film import FilmFile
from preparation.films.processing import FilmLayout
from preparation.films.shard import (
    FilmShard,
    MakeFilmShard,
    finished,
    in_shards,
    record_path,
)
from preparation.split import Split
from preparation.volumes.shard import DISK_FULL
from provenance import UserError, write_json_atomic


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


def prepare_films(
    files: Sequence[FilmFile],
    work: MakeFilmShard,
    split: Split,
    settings: dict[str, Any],
    part: Part,
    workers: int = 1,
    on_duplicates: OnDuplicates = "report",
    verify: bool = False,
) -> FilmOutcome:
    """Make every shard that is missing, then the table of items and the manifest.

    Args:
        files: The films of the source, in order.
        work: Makes one shard in `work.out`, which `claim` has claimed before.
        split: How the films are divided.
        settings: All that decides on the bytes; a part keeps them for `merge`.
        part: This machine's share; 1 of 1 for everything.
        workers: Processes.
        on_duplicates: See `put_together`.
        verify: Compare finished shards with their hashes, and make damaged ones again.

    Raises:
        UserError: Nothing usable, a full disk, another source than before, an empty split.
    """
    out, whole = work.out, in_shards(files)
    shards = whole[part.index - 1 :: part.of]
    for leftover in [*out.glob(".*.part"), *out.glob("*/.*.part")]:
        leftover.unlink()
    todo = _left_to_do(out, shards, work.layout, verify)
    count = sum(len(shard.files) for shard in shards)
    resumed = count - sum(len(shard.files) for shard in todo)
    bar = tqdm(total=count, initial=resumed, unit="film", desc=f"prepare {work.layout.dataset}")
    try:
        with bar:
            for shard, _ in make_shards(work, todo, workers):
                bar.update(len(shard.files))
    except OSError as error:
        kept = "Finished shards are kept"
        if error.errno not in DISK_FULL:
            raise UserError(f"{out}: cannot be written ({error.strerror or error}). {kept}.") from (
                error
            )
        raise UserError(
            f"{out}: the disk is full. {kept}. Make room and run the same command again; it goes "
            "on where it stopped."
        ) from error
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
                "layout": asdict(work.layout),
                "split": split.plain(),
                "label_columns": list(work.label_columns),
            },
        )
        tally = Tally(out, names, ())
        return FilmOutcome(out, None, tally, resumed)
    outcome = put_together(out, names, work.layout, split, work.label_columns, on_duplicates)
    outcome.num_resumed = resumed
    return outcome


def _left_to_do(
    out: Path, shards: Sequence[FilmShard], layout: FilmLayout, verify: bool
) -> list[FilmShard]:
    known = {path.stem for path in (out / "records").glob("*.json")}
    strangers = sorted(known - {shard.name for shard in shards})
    todo = []
    for shard in shards:
        state = finished(out, shard, layout, verify)
        if state is None or strangers:
            raise UserError(
                f"{out}: was made from other files than those in the source now "
                f"({strangers[0] if strangers else shard.name} differs: films were added, removed "
                "or changed). Nothing was changed. Give another --out."
            )
        if not state:
            record_path(out, shard.name).unlink(missing_ok=True)
            todo.append(shard)
    return todo
