"""Finds the film that crashes a decoder, and goes on without it.

Decoders of compressed films are C libraries. One that crashes takes its process along, and with it
the whole shard; reading that shard again film by film, each in a child, tells which film it was.
"""

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from typing import Any

from preparation.films.film import Film, FilmFile, FilmReader, RejectedFilm
from preparation.films.shard import SECONDS_PER_FILM, FilmShard, MakeFilmShard
from preparation.pool import in_processes


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
        except BrokenProcessPool:
            # One of those that were being made: all others have not been begun.
            for shard in list(left.values())[: 2 * workers]:
                careful = ReadInChild(work.reader)
                record = replace(work, reader=careful)(shard)
                careful.close()
                del left[shard.name]
                yield shard, record


@dataclass
class ReadInChild:
    """A reader that survives a crash of the one that it wraps."""

    reader: FilmReader
    _pool: ProcessPoolExecutor | None = field(default=None, repr=False)

    def __call__(self, file: FilmFile) -> Film:
        """Read in a child process.

        Raises:
            RejectedFilm: The reader's own, or `decoder_crashed`.
        """
        if self._pool is None:
            self._pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
        future = self._pool.submit(self.reader, file)
        try:
            return future.result(timeout=SECONDS_PER_FILM)
        except BrokenProcessPool:
            how = "crashed its decoder"
        except TimeoutError:
            how = f"kept its decoder busy for {SECONDS_PER_FILM} s"
            for process in list((self._pool._processes or {}).values()):
                process.kill()
        self.close()
        raise RejectedFilm("decoder_crashed", f"{how}. Left out; export it again, uncompressed.")

    def close(self) -> None:
        """End the child."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None
