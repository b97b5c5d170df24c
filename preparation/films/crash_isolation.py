"""Finds the film that crashes a decoder, and goes on without it.

Decoders of compressed films are C libraries. One that crashes takes its process along, and with it
the whole shard; reading that shard again film by film, each in a child, tells which film it was.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from preparation.films.film import Film, FilmFile, RejectedFilm
from preparation.films.shards.make import SECONDS_PER_FILM, MakeFilmShard
from preparation.films.shards.shard import FilmShard
from worker_pool import InChild, WorkerDiedError, in_processes


def make_shards(
    work: MakeFilmShard, todo: Sequence[FilmShard], workers: int
) -> Iterator[tuple[FilmShard, dict[str, Any]]]:
    """Yield (shard, record) as shards are finished; a crash costs one film.

    Raises:
        OSError: The disk is full or the cache cannot be written.
    """
    left = {shard.name: shard for shard in todo}
    while left:
        try:
            for shard, record in in_processes(work, list(left.values()), workers, work.may_crash):
                del left[shard.name]
                yield shard, record
        except WorkerDiedError:
            # One of those that were being made: all others have not been begun.
            for shard in list(left.values())[: 2 * workers]:
                child = InChild(work.reader)
                record = replace(work, reader=partial(_read_in, child))(shard)
                child.close()
                del left[shard.name]
                yield shard, record


def _read_in(child: InChild[FilmFile, Film], file: FilmFile) -> Film:
    try:
        return child(file, SECONDS_PER_FILM)
    except WorkerDiedError:
        how = "crashed its decoder"
    except TimeoutError:
        how = f"kept its decoder busy for {SECONDS_PER_FILM} s"
    raise RejectedFilm("decoder_crashed", f"{how}. Left out; export it again, uncompressed.")
