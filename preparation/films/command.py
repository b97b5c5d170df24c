"""One film command of `prepare.py`, from its flags to a finished cache."""

from pathlib import Path
from typing import Any

from tqdm import tqdm

from preparation.claim import claim, locked
from preparation.films.assemble import FilmOutcome
from preparation.films.flags import film_layout, film_settings, film_split
from preparation.films.prepare import Part, prepare_films
from preparation.films.request import FilmRequest, film_request, opened


def run_film_command(name: str, options: Any) -> tuple[FilmOutcome, FilmRequest]:
    """Draw or find the films, and prepare them.

    Args:
        name: `chest_xray`, `image_folder` or `phantom_cxr`.
        options: Its flags.

    Raises:
        UserError: What the person at the prompt can mend.
    """
    out, part, settings = Path(options.out), Part.parse(options.shard), film_settings(name, options)
    with locked(out):
        claim(out, settings, film_split(options))
        if name == "phantom_cxr":
            source = out / "source"
            _draw(source, options)
        else:
            source = opened(Path(options.source), out)
        request = film_request(name, options, out, source)
        outcome = prepare_films(
            request.files,
            request.work,
            request.split,
            settings,
            part,
            options.workers,
            options.on_duplicates,
            options.verify,
        )
    outcome.notes[:0] = request.notes
    return outcome, request


def _draw(source: Path, options: Any) -> None:
    """Draw the phantom's films; those that are there already stay as they are."""
    from phantom.chest.write_set import write_phantom_cxr

    with tqdm(total=options.num_patients, unit="patient", desc="draw phantom_cxr") as bar:
        write_phantom_cxr(
            source,
            num_patients=options.num_patients,
            image_size=film_layout("phantom_cxr", options, options.image_size).stored_size,
            seed=options.seed,
            workers=options.workers,
            progress=lambda done, total: bar.update(done - bar.n),
        )
