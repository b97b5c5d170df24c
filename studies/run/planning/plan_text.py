"""What `study.py plan` prints of trainings, time and disk."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from datamodules.film_cache import FilmCache
from datamodules.prepared_cache import PreparedCache
from display.numbers import count, duration, span
from studies.run.planning.trainings import GENERATOR, ONE_PER_CLASS, Training
from studies.specification.parts import Scenario
from studies.specification.settings import setting_in
from studies.specification.specification import Specification

_WIDEST_NAME, _WIDEST_ROLE = 40, 22


def aligned(rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Rows as lines of a table: so many columns on the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  "
        + "  ".join(
            cell.ljust(width) if index < left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def shortened(text: str, width: int) -> str:
    """The text, or its beginning."""
    return text if len(text) <= width else text[: width - 3].rstrip() + "..."


def whole(number: float) -> str:
    """A whole number with its thousands apart."""
    return f"{round(number):,}".replace(",", " ")


def header_lines(
    specification: Specification, source: Path, cache: PreparedCache | None
) -> list[str]:
    """Which study this is, and on which patients."""
    lines = [specification.title, f"{source}: what it would take, and what it could show"]
    if cache is None:
        return [*lines, "No cache is given, so nothing is known of the data: --data.root CACHE"]
    told = ", ".join(f"{len(cache.patients(split))} {split}" for split in ("train", "val", "test"))
    by = "" if cache.split_by == "patient" else f" (split by {cache.split_by}, not by patient)"
    return [*lines, f"{cache.root}: patients {told}{by}; images of {cache.image_size} px."]


def training_lines(
    specification: Specification, trainings: Sequence[Training], only: str | None = None
) -> list[str]:
    """How many trainings each arm has, and how long each is.

    Args:
        specification: The study.
        trainings: Those that are counted.
        only: The pattern that cells' names were to match; None: all are counted.
    """
    generators = sum(one.count for one in trainings if one.arm == GENERATOR)
    pretrainings = sum(one.count for one in trainings if one.part == "pretrain")
    others = sum(one.count for one in trainings) - generators - pretrainings
    seeds = count(len(specification.seeds), "seed")
    models, arms = (
        count(len(specification.models), "model"),
        count(len(specification.scenarios), "arm"),
    )
    told = full = f"{arms} x {models} x {seeds}"
    if only is not None:
        told = f"cells that match {only}"
    what = "generator" if specification.kind == "generators" else "downstream model"
    lines = ["", f"Trainings: {others} of {what}s ({told})"]
    lines[-1] += f", {count(pretrainings, 'pretraining')}" if pretrainings else ""
    if specification.plans:
        unknown = any(one.part == ONE_PER_CLASS for one in trainings)
        each = " for each class" if unknown else ""
        makers = "the generator" if len(specification.plans) == 1 else "generators"
        lines[-1] += f", {generators} of {makers}{each}"
    rows: list[tuple[str, ...]] = [("arm", "", "", "trainings", "steps each", "images each")]
    by_arm: dict[tuple[str, bool], list[Training]] = {}
    for one in trainings:
        arm = f"{GENERATOR} {one.model}".rstrip() if one.arm == GENERATOR else one.arm
        by_arm.setdefault((arm, one.part == "pretrain"), []).append(one)
    for (arm, first), those in by_arm.items():
        title = specification.title_of(those[0].model) if those[0].arm == GENERATOR else ""
        name, role = shortened(title, _WIDEST_NAME) or "for the synthetic images", ""
        if those[0].arm != GENERATOR:
            scenario = specification.scenario(arm)
            name = shortened(scenario.name, _WIDEST_NAME)
            role = (
                "pretraining" if first else shortened(_role(specification, scenario), _WIDEST_ROLE)
            )
        found = [one.length for one in those if one.length is not None]
        lengths = [
            span(sorted(set(values)), whole) if values else "not known"
            for values in ([one.steps for one in found], [one.images for one in found])
        ]
        rows.append((arm, name, role, str(sum(one.count for one in those)), *lengths))
    lines += aligned(rows, left=3)
    if only is not None:
        lines.append(f"What could show is, below, of the whole study ({full}).")
    return lines


def _role(specification: Specification, scenario: Scenario) -> str:
    if scenario.placebo:
        return "placebo"
    if specification.kind == "generators":
        return ""
    of = [one.id for one in specification.scenarios if scenario.id in _controls(one)]
    if scenario.control_of:
        return f"control of {', '.join(of or [scenario.control_of])}"
    told = ["baseline"] if scenario.id == specification.baseline_of(scenario) else []
    told += [f"control of {', '.join(of)}"] if of else []
    return "; ".join(told)


def _controls(scenario: Scenario) -> tuple[str, ...]:
    return scenario.controls if isinstance(scenario.controls, tuple) else ()


def time_lines(
    specification: Specification,
    trainings: Sequence[Training],
    workers: int,
    at_once: int,
    why_not: str | None,
) -> list[str]:
    """The time of all steps, with its arithmetic.

    Args:
        specification: The study.
        trainings: With their steps' times.
        workers: As asked for.
        at_once: Trainings that run beside each other without slowing each other.
        why_not: Why nothing was timed; None where it was.
    """
    if why_not is not None:
        return ["", f"Time: not measured, {why_not}."]
    lines = ["", "Time: steps x seconds of a step, timed here just now"]
    rows: list[tuple[str, ...]] = [
        ("training", "arms", "trainings", "steps in all", "s a step", "(timed)", "together")
    ]
    kinds: dict[tuple[str, ...], list[Training]] = {}
    for one in trainings:
        kinds.setdefault(one.step, []).append(one)
    total = longest = 0.0
    device = ""
    for those in kinds.values():
        timed = those[0].measured
        assert timed is not None
        steps = sum(one.count * one.length.steps for one in those if one.length)
        number, arms = sum(one.count for one in those), ""
        if those[0].arm == GENERATOR:
            name = f"{GENERATOR} {specification.title_of(those[0].model)}".rstrip()
        else:
            name = specification.model(those[0].model).title
            arms = ", ".join(dict.fromkeys(one.arm for one in those))
        row = [shortened(name, 34), shortened(arms, 24), str(number), whole(steps)]
        if timed.seconds is None:
            rows.append((*row, "too short", "", "not known"))
            continue
        seconds = steps * timed.seconds
        total += seconds
        longest = max(longest, *(one.length.steps * timed.seconds for one in those if one.length))
        device = timed.device
        rows.append((*row, f"{timed.seconds:.3g}", f"({timed.num_timed} steps)", duration(seconds)))
    together = max(total / at_once, longest)
    lines += aligned(rows, left=2)
    told = f"  All steps, one training after another: {duration(total)} on this machine's {device}."
    lines.append(told)
    if workers > 1:
        lines.append(
            f"  With --workers {workers}, {at_once} at a time: about {duration(together)}, if they "
            "do not slow each other."
        )
        if at_once < workers:
            lines.append("  Trainings that share a GPU are counted as if one waited for the other.")
    lines += [
        "  Not counted: validation, saving, pictures, making and scoring of images, evaluation, "
        "start of each",
        "  training. A busy machine gives longer steps; other machines, others.",
    ]
    return lines


def disk_lines(
    specification: Specification,
    trainings: Sequence[Training],
    cache: PreparedCache | None,
    out: Path | None,
) -> list[str]:
    """What checkpoints and images would take at most, and what is free."""
    lines = ["", "Disk: at most, without logs and pictures"]
    rows: list[tuple[str, str, str]] = []
    if all(one.measured is not None and one.measured.checkpoint_bytes for one in trainings):
        kinds: dict[int, int] = {}
        for one in trainings:
            size = one.measured.checkpoint_bytes if one.measured else None
            kinds[size or 0] = kinds.get(size or 0, 0) + one.count
        for size, number in sorted(kinds.items()):
            told = f"{count(number, 'training')} x 2 checkpoints (last, best) x {_bytes(size)}"
            rows.append(("checkpoints", told, _bytes(2 * number * size)))
        total = sum(2 * number * size for size, number in kinds.items())
    else:
        rows.append(("checkpoints", "not measured: their size is that of one that is written", ""))
        total = 0
    for title, told, size_of_all in _image_rows(specification, trainings, cache):
        rows.append((title, told, "" if size_of_all is None else _bytes(size_of_all)))
        total += size_of_all or 0
    if any(row[2] for row in rows):
        of = "" if all(row[2] for row in rows) else "of what is known"
        rows.append(("together", of, _bytes(total)))
    lines += aligned(rows, left=2)
    if out is None:
        lines.append("  What is free where the study will lie: give --out FOLDER.")
    else:
        there = next(one for one in (out.absolute(), *out.absolute().parents) if one.exists())
        free = shutil.disk_usage(there).free
        short = " THAT IS TOO LITTLE." if free < total else ""
        lines.append(f"  Free at {out}: {_bytes(free)}.{short}")
    return lines


def _image_rows(
    specification: Specification, trainings: Sequence[Training], cache: PreparedCache | None
) -> Iterator[tuple[str, str, int | None]]:
    """What the images of each generator take: their title, number and size, and the bytes."""
    if specification.distances is not None:
        yield from _images_of("images", specification.distances.num_images, trainings, cache, False)
    for name, plan in specification.plans.items():
        own = [one for one in trainings if (one.arm, one.model) == (GENERATOR, name)]
        maps, title = not isinstance(cache, FilmCache), f"images {specification.title_of(name)}"
        yield from _images_of(title.rstrip(), plan.num_images, own, cache, maps)


def _images_of(
    title: str,
    number: int,
    trainings: Sequence[Training],
    cache: PreparedCache | None,
    maps: bool,
) -> Iterator[tuple[str, str, int | None]]:
    """A row for each size of the images of some generators' trainings."""
    by_size: dict[int | None, list[Training]] = {}
    for one in trainings:
        by_size.setdefault(None if cache is None else _size_of(one, cache), []).append(one)
    for size, alike in by_size.items():
        sets = sum(one.count for one in alike)
        told = f"{sets} x {count(number, 'generated image')}"
        if any(one.part == ONE_PER_CLASS for one in alike):
            told += " for each class"
        if cache is None or size is None:
            yield title, f"{told}, their size is the cache's", None
            continue
        channels = cache.channels if isinstance(cache, FilmCache) else 1
        of = f" of {size} x {size} px{' and their label maps' if maps else ''}, uncompressed"
        yield title, told + of, sets * number * size**2 * (channels + maps)


def _size_of(training: Training, cache: PreparedCache) -> int:
    """Side in pixels of what a training's generator makes: its resolution, or the cache's size."""
    said = setting_in(training.config, training.flags, "data", "resolution")
    return cache.image_size if said is None else int(said)


def _bytes(number: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= size:
            return (
                f"{number / size:.3g} {unit}"
                if number < 999.5 * size
                else f"{number / size:.0f} {unit}"
            )
    return f"{number:.0f} bytes"
