"""The card of a generator, out of its checkpoint and, where it lies in its run folder, the run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cards.header import model_header
from cards.page import Card, Row
from display.numbers import count
from foreign_text import printable
from generation.generators import TrainedGenerator
from licences import Licence
from provenance import UserError, read_json, write_json_atomic

_OF_CONGRUENCE = ("fid", "kid", "frechet", "kernel", "precision", "density", "mae", "psnr", "ssim")
_OF_COVERAGE = ("recall", "coverage", "diversity")
_ABOUT = ("_floor", "_at_floor_size", "_best", "_deviation")
_MEASURE = (
    "not measured: make a set (`python generate.py --checkpoint CHECKPOINT --out SET`), then "
    "`python evaluate.py images --real CACHE --synthetic SET --out FOLDER --record`"
)
_AUDIT = (
    "not audited: make a set with `python generate.py --checkpoint CHECKPOINT --out SET --audit`; "
    "its card says what was found"
)


_IN_A_CHECKPOINT = (
    "about patients",
    "the checkpoint names the patients of its cache by their pseudonyms, and holds hashes by which "
    "whoever has an image can test whether it was in the training",
)


def model_card(
    generator: TrainedGenerator, licence: Licence | None, about_patients: Row = _IN_A_CHECKPOINT
) -> Card:
    """What a checkpoint tells, under the headings of a card.

    Args:
        generator: Opened from its checkpoint.
        licence: Stated for data of which the checkpoint does not tell it.
        about_patients: What of them is handed on.
    """
    record, module = generator.record, type(generator.module).__name__
    licences = [
        licence if licence is not None and not one.is_stated else one
        for one in generator.licences()
    ]
    licences = list(dict.fromkeys(licences))
    title = f"{module} of {printable(record['dataset'])}, {generator.module.image_size} px"
    paints = module in ("Pix2Pix", "LesionInfilling")
    translates = module == "CycleGAN"
    metrics = _metrics(generator.checkpoint)
    version = record["versions"]["understudy"]
    learnt = count(len(generator.seen().patients), "patient")
    return Card(
        title=f"Generator: {title}",
        statement="Its images are synthetic. None may be shown or used as a picture of a patient.",
        facts=_facts(generator, licences, learnt),
        command=None,
        copies=(
            "**Not audited.** A generator can reproduce images that it was trained on, and a "
            "checkpoint can be asked for any number of them: handing it on is handing on whatever "
            "it has memorised. Audit sets that it makes, and read their cards."
        ),
        sections={
            "Congruence": _scores(metrics, _OF_CONGRUENCE) or [("closeness", _MEASURE)],
            "Coverage": _scores(metrics, _OF_COVERAGE) or [("variety", _MEASURE)],
            "Constraint": [
                ("images", f"{generator.module.image_size} px, 8 bits once written"),
                (
                    "condition",
                    "a label map; whether an image obeys it is measured by the pairs of "
                    "`python evaluate.py images`"
                    if paints
                    else "an image that is translated; whether its label survives is measured by "
                    "`python evaluate.py survival`"
                    if translates
                    else "noise of a seed",
                ),
                ("anatomy", "not measured: no command here checks it"),
            ],
            "Completeness": [
                ("classes", ", ".join(map(printable, record["class_names"] or ())) or "none"),
                ("trained on one class", printable(generator.data.get("only_label") or "no")),
                ("lacking", "age, sex, size of a pixel, device: it makes none of them"),
            ],
            "Compliance": [
                ("copies of training images", _AUDIT),
                about_patients,
            ],
            "Comprehension": [
                ("use", "to make images that join the training split of another model"),
                ("not for", "diagnosis, or evidence about any person or disease"),
                ("to use it", "`python generate.py --checkpoint CHECKPOINT --out SET`"),
            ],
            "Consistency": [
                ("made again", "a seed gives the same image, whatever else is asked for"),
                ("seed of the training", str(record.get("seed"))),
                ("other trainings", "not measured here: `python study.py run STUDY.yaml`"),
            ],
        },
        licences=licences,
        limits=[
            "What is rare in its training images is rarer in its own, or missing.",
            "Numbers of a validation during training chose the checkpoint, so they are too good.",
            "Not shown to be free of what could identify a person.",
        ],
        cite=[
            f"This generator: the SHA-256 of its checkpoint, and Understudy {version}.",
            *(
                f"The data behind it: {one.demands['attribution']}"
                for one in licences
                if "attribution" in one.demands
            ),
        ],
        header=model_header(
            title,
            licences,
            "image-to-image" if paints or translates else "unconditional-image-generation",
            _model_index(metrics, record),
        ),
        results={"metrics": metrics},
    )


def write_model_card(
    checkpoint: Path, out: Path | None, licence: Licence | None
) -> tuple[Path, list[Licence]]:
    """Write the card of a generator into a folder, by default `model_card` beside its checkpoints.

    Args:
        checkpoint: Of a GAN, Pix2Pix or CycleGAN run.
        out: None or empty, or with the card of the same checkpoint, which is written again.
        licence: See `model_card`.

    Returns:
        The folder, and the licences of the data behind the generator.

    Raises:
        UserError: No generator, or a folder that holds something else.
    """
    import torch

    generator = TrainedGenerator.open(Path(checkpoint), 0, None, torch.device("cpu"))
    told = Path(checkpoint).resolve().parent
    run = told.parent if told.name == "checkpoints" else told
    folder = Path(out) if out is not None else run / "model_card"
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--out {folder}: is a file, expected a folder. Nothing was changed.")
    claim = folder / "card_of.json"
    mine = {"checkpoint_sha256": generator.checkpoint_sha256}
    there = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    if there and (not claim.is_file() or read_json(claim) != mine):
        raise UserError(
            f"--out {folder}: holds something else than the card of this checkpoint. Nothing was "
            "changed; give a new or an empty folder."
        )
    write_json_atomic(claim, mine)
    card = model_card(generator, licence)
    card.write(folder)
    return folder, [*card.licences]


def _facts(generator: TrainedGenerator, licences: list[Licence], learnt: str) -> list[Row]:
    record, split = generator.record, generator.record["split"]
    held_out = len(split.get("val", ())) + len(split.get("test", ()))
    weights = sum(one.numel() for one in generator.module.parameters())
    return [
        ("generator", f"{type(generator.module).__name__}, {weights:,} weights with its critic"),
        ("checkpoint", f"SHA-256 `{generator.checkpoint_sha256}`"),
        ("trained on", f"{learnt}, {count(generator.record['images_seen'], 'image')} seen"),
        (
            "split",
            f"by {split.get('by')}; {count(held_out, 'patient')} in validation and test; "
            f"id `{split['split_id'][:16]}`",
        ),
        ("licence of the data behind it", "; ".join(one.in_words for one in licences)),
        ("software", f"Understudy {record['versions']['understudy']}"),
    ]


def _metrics(checkpoint: Path) -> dict[str, Any]:
    """The validation's numbers at the end of the run; none of a checkpoint that was moved away."""
    path = Path(checkpoint).resolve().parent.parent / "metrics.json"
    if not path.is_file():
        return {}
    found = read_json(path)
    if not isinstance(found, dict):
        return {}
    kept = ("last", "min", "max")
    return {
        name.removeprefix("val/"): {key: entry[key] for key in kept}
        for name, entry in found.items()
        if name.startswith("val/")
        and isinstance(entry, dict)
        and all(isinstance(entry.get(key), float | int) for key in kept)
    }


def _scores(metrics: Mapping[str, Any], names: tuple[str, ...]) -> list[Row]:
    """Each score with its floor and the numbers of images, where the run has them."""
    made, real = (metrics.get(f"num_{name}", {}).get("last") for name in ("generated", "real"))
    number = f"; {made:,.0f} made, {real:,.0f} real" if made and real else ""
    rows = []
    for name in _named(metrics):
        if name.startswith(names):
            entry, floor = metrics[name], metrics.get(f"{name}_floor")
            text = f"{entry['last']:.4g} at the end, {entry['min']:.4g} to {entry['max']:.4g} in "
            text += f"the run, on the validation split{number}"
            if floor is not None:
                text += f"; two halves of the real images give {floor['last']:.4g}"
            rows.append((printable(name), text))
    return rows


def _named(metrics: Mapping[str, Any]) -> list[str]:
    """Those that are scores, not numbers about scores."""
    return [
        name
        for name in metrics
        if name.startswith((*_OF_CONGRUENCE, *_OF_COVERAGE)) and not name.endswith(_ABOUT)
    ]


def _model_index(metrics: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, Any] | None:
    """The header's entry of the last metrics; None without any."""
    values = [
        {"type": name, "value": metrics[name]["last"], "name": f"{name}, validation split"}
        for name in _named(metrics)
    ]
    if not values:
        return None
    name = printable(record["dataset"])
    return {
        "task": {"type": "image-generation"},
        "dataset": {"type": "private", "name": name, "split": "validation"},
        "metrics": values,
    }
