"""How many copies of real films does an audit find, and how many fresh films does it flag?

python benchmarks/audit_copies.py --data.root CACHE --out FOLDER [--page PAGE.md]

The films of a cache are dealt anew for each draw of patients: some are training films, some are
held out, and the rest are fresh: real films that stand for a synthetic set without a copy. For each
draw of copies 1 % of the fresh films give way to disguised copies of training films. The audit's
own functions train two embeddings for each draw of patients, and judge every image as
`evaluate.py audit` would. Every part that is done is kept in FOLDER, and a second call goes on.
disguises.png shows real films.
"""

import argparse
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))

from audit.disguises import disguises
from audit.embedding import CopyEmbedding
from audit.kept_embedding import kept_or_trained
from audit.matching import Gallery, match, points_of
from audit.rebuilding import NUM_COMPONENTS, NUM_COPIED, Rebuilding, over_trained
from benchmarks import audit_copies_page
from benchmarks.audit_copies_page import OF_FRESH
from datamodules.beside_synthetic import film_levels
from datamodules.film_cache import FilmCache
from datamodules.open_cache import open_cache
from display.colours import ImageArray
from display.sheet import sheet
from output_folder import claim_folder
from provenance import UserError, whole_file, write_json_atomic, write_text_atomic

LARGEST_SIDE = 64
OF_TRAINING = f"rebuilt from {NUM_COMPONENTS} components"
BY_GENERATOR = f"made by a generator trained on {NUM_COPIED} of them"
_MADE, _SHOWN = 400, 8

FIRST = 5
"""Draws of copies that are looked at before the next draw of patients."""

BEGUN, RESULT = "begun.json", "figures.json"
_AT_ONCE = 200


@dataclass(frozen=True)
class Dealt:
    """Films of one draw of patients, as rows of the cache; no patient is on two sides."""

    training: np.ndarray
    held_out: np.ndarray
    fresh: np.ndarray


def dealt(patients: np.ndarray, num_fresh: int, num_training: int, seed: int) -> Dealt:
    """Deal whole patients until each side has its films; the rest are held out.

    Args:
        patients: (N,) whose each film is.
        num_fresh: Films, exactly: the last patient's further films are left out.
        num_training: Films, likewise.
        seed: Of the order of patients.

    Raises:
        UserError: Fewer films than that, or none left to be held out.
    """
    names, owner = np.unique(patients, return_inverse=True)
    place = np.random.default_rng(seed).permutation(len(names))[owner]
    rows = np.argsort(place, kind="stable")
    places, sides, start = place[rows], [], 0
    for count in (num_fresh, num_training):
        if start + count >= len(rows):
            raise UserError(
                f"{len(rows)} films are too few for {num_fresh} fresh and {num_training} training "
                "films, and others that are held out. Give --fresh and --training smaller numbers."
            )
        sides.append(rows[start : start + count])
        start = int(np.searchsorted(places, places[start + count - 1], side="right"))
    if start >= len(rows):
        raise UserError("No film is left to be held out. Give --fresh or --training less.")
    return Dealt(sides[1], rows[start:], sides[0])


def planted(images: Tensor, others: Tensor, rebuilding: Rebuilding, seed: int) -> dict[str, Tensor]:
    """Copies of training films in every disguise, and two kinds that are rebuilt.

    Args:
        images: (P, 1, S, S) uint8: what is copied.
        others: (P, 1, S, S) uint8 of others, for splices, and rebuilt as no copies.
        rebuilding: Principal components of the training films.
        seed: Of noise and places.
    """
    source = torch.Generator().manual_seed(seed)
    image, other = images.float() / 255, others.float() / 255
    copies = {name: disguise(image, other, source) for name, disguise in disguises().items()}
    copies[OF_TRAINING] = rebuilding(image)
    copies[OF_FRESH] = rebuilding(other)
    return {name: _bytes(copy) for name, copy in copies.items()}


def films_of(cache: FilmCache) -> Tensor:
    """All films, (N, 1, S, S) uint8, as an audit reads them."""
    side = cache.image_size
    if side > LARGEST_SIDE:
        raise UserError(f"{cache.root}: films of {side} px; give a cache of {LARGEST_SIDE} px.")
    read = film_levels(cache, np.arange(len(cache)), side)
    return torch.stack([torch.from_numpy(read(row))[:1] for row in range(len(cache))])


def _bytes(images: Tensor) -> Tensor:
    return (255 * images).round().byte()


class Draw:
    """One draw of patients: two embeddings, and whatever was looked at with them.

    Args:
        folder: Where its parts are kept.
        films: (N, 1, S, S) uint8 of the cache.
        patients: (N,) whose each is.
        sides: Its training, held-out and fresh films.
        seed: Of the embeddings and the copies.
    """

    def __init__(
        self, folder: Path, films: Tensor, patients: np.ndarray, sides: Dealt, seed: int
    ) -> None:
        self.folder, self.films, self.patients = folder, films, patients
        self.sides, self.seed = sides, seed
        self.training = films[sides.training]
        owners = np.unique(patients[sides.training], return_inverse=True)[1]
        self._owners = torch.from_numpy(owners)
        self._ready: list[tuple[CopyEmbedding, Gallery]] = []
        self._rebuilding: Rebuilding | None = None
        self._made: tuple[Tensor, Tensor] | None = None

    def base(self) -> None:
        """Look at held-out and fresh films."""
        for name, rows in (("held_out", self.sides.held_out), ("fresh", self.sides.fresh)):
            for number, start in enumerate(range(0, len(rows), _AT_ONCE)):
                images = self.films[rows[start : start + _AT_ONCE]]
                self._look(f"{name}_{number:02d}", {name: images})

    def copies(self, number: int, count: int) -> None:
        """Look at one draw of copies."""
        name = f"copies_{number:02d}"
        if (self.folder / f"{name}.safetensors").exists():
            return
        if self._rebuilding is None:
            self._rebuilding = Rebuilding(self.training, self.seed)
        seed = 1000 * self.seed + number
        source = torch.Generator().manual_seed(seed)
        rows = torch.randperm(len(self.training), generator=source)[:count]
        strange = torch.randperm(len(self.sides.fresh), generator=source)[:count]
        others = self.films[self.sides.fresh[strange.numpy()]]
        groups = planted(self.training[rows], others, self._rebuilding, seed)
        made, of = self._made_by_generator()
        mine = torch.arange(number * count, (number + 1) * count) % len(made)
        groups[BY_GENERATOR] = made[mine]
        self._look(name, groups, {"rows": rows, f"rows/{BY_GENERATOR}": of[mine]})

    def disguised(self) -> ImageArray:
        """A few training films in each disguise, and fresh ones rebuilt; it shows patients."""
        films, fresh = self.training[:_SHOWN], self.films[self.sides.fresh[:_SHOWN]]
        made = planted(films, fresh, Rebuilding(self.training, self.seed), self.seed)
        return sheet([list(each[:, 0].numpy()) for each in made.values()], list(made))

    def _made_by_generator(self) -> tuple[Tensor, Tensor]:
        """Films of a generator that repeats some training films, and which of these each is of."""
        if self._made is None:
            source = torch.Generator().manual_seed(self.seed)
            rows = torch.randperm(len(self.training), generator=source)[:NUM_COPIED]
            made = over_trained(self.training[rows].float() / 255, _MADE, self.seed)
            self._made = _bytes(made), rows[torch.arange(_MADE) % len(rows)]
        return self._made

    def _look(
        self, name: str, groups: Mapping[str, Tensor], beside: Mapping[str, Tensor] | None = None
    ) -> None:
        path = self.folder / f"{name}.safetensors"
        if path.exists():
            return
        networks = self._networks()
        content, started = dict(beside or {}), time.process_time()
        for number, (network, gallery) in enumerate(networks):
            found = match(network, gallery, torch.cat(list(groups.values())))
            for key, value in vars(found).items():
                parts = value.split([len(images) for images in groups.values()])
                for group, part in zip(groups, parts, strict=True):
                    content[f"{number}/{group}/{key}"] = part.contiguous()
        content["seconds"] = torch.tensor(time.process_time() - started)
        with whole_file(path) as stream:
            stream.write(save(content))
        print(f"{self.folder.name} {name}: {float(content['seconds']):.0f} s", flush=True)

    def _networks(self) -> list[tuple[CopyEmbedding, Gallery]]:
        if not self._ready:
            started = time.process_time()
            for number in range(2):
                network = kept_or_trained(self.folder, self.training, 2 * self.seed + number)
                points = points_of(network, self.training)
                self._ready.append((network, Gallery(self.training, self._owners, points)))
            print(f"{self.folder.name} ready: {time.process_time() - started:.0f} s", flush=True)
        return self._ready


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data.root", dest="root", type=Path, required=True, help="film cache")
    parser.add_argument("--out", type=Path, required=True, help="folder for all parts")
    parser.add_argument("--page", type=Path, help="Markdown with the tables")
    parser.add_argument("--draws", type=int, default=3, help="of patients, with copies")
    parser.add_argument("--placebos", type=int, default=0, help="further draws, without copies")
    parser.add_argument("--copy-draws", type=int, default=20, help="of copies, for each of these")
    parser.add_argument("--fresh", type=int, default=2000, help="films")
    parser.add_argument("--training", type=int, default=2000, help="films")
    parser.add_argument("--share", type=float, default=0.01, help="of copies")
    parser.add_argument("--judge-only", action="store_true", help="judge what has been looked at")
    options = parser.parse_args()
    try:
        page = run(options)
    except UserError as error:
        print(f"audit_copies.py: {error}", file=sys.stderr)
        sys.exit(2)
    print(page)
    if options.page is not None:
        write_text_atomic(options.page, page)


def run(options: argparse.Namespace) -> str:
    """Look at what is left to look at, judge it all, and return the page.

    Raises:
        UserError: Not a film cache, too few films, or a folder that holds something else.
    """
    cache = open_cache(options.root)
    if not isinstance(cache, FilmCache):
        raise UserError(f"{options.root}: holds slices; this benchmark needs a cache of films.")
    count = round(options.share * options.fresh)
    identity = {
        "task": "audit_copies",
        "real_sha256": cache.content_sha256,
        "fresh": options.fresh,
        "training": options.training,
        "copies": count,
    }
    claim_folder(options.out, BEGUN, identity, "benchmark")
    films, patients = films_of(cache), cache.patient_ids
    draws = []
    for seed in range(options.draws + options.placebos):
        sides = dealt(patients, options.fresh, options.training, seed)
        folder = options.out / f"draw_{seed}"
        draws.append(Draw(folder, films, patients, sides, seed))
    if not options.judge_only:
        first = min(FIRST, options.copy_draws)  # so that a run that is stopped has some of all
        for draw in draws[: options.draws]:
            draw.base()
            for number in range(first):
                draw.copies(number, count)
        for number in range(first, options.copy_draws):
            for draw in draws[: options.draws]:
                draw.copies(number, count)
        for draw in draws[options.draws :]:
            draw.base()
    rows: list[dict[str, Any] | None] = [
        audit_copies_page.judged(
            draw.folder,
            patients[draw.sides.held_out].tolist(),
            patients[draw.sides.fresh].tolist(),
            draw.seed,
        )
        for draw in draws
    ]
    write_json_atomic(options.out / RESULT, rows)
    with whole_file(options.out / "disguises.png") as stream:
        Image.fromarray(draws[0].disguised()).save(stream, format="PNG")
    return audit_copies_page.page(rows)


if __name__ == "__main__":
    main()
