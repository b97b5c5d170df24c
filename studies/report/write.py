"""One self-contained HTML page from a study's folder, with the same in Markdown and JSON."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datamodules.film_cache import FilmCache
from datamodules.open_cache import open_cache
from display.numbers import count
from display.pages import PageFigure, render_page
from display.tables import markdown
from provenance import UserError, library_versions, read_json, write_json_atomic, write_text_atomic
from studies.report import generator_page, plots, tables
from studies.report.downstream import analyse
from studies.report.generators import analyse_generators
from studies.report.roc_plot import roc_curves
from studies.report.sheets import (
    prediction_pictures,
    real_synthetic_films,
    real_synthetic_sheet,
    shrunk_png,
)
from studies.run.folder import StudyFolder, load_study, yaml_text
from studies.run.progress import duration
from studies.specification.specification import Specification


def build_report(out: Path) -> Path:
    """Write report.html, report.md and report.json into a study's folder, finished or not.

    Returns:
        Path of report.html.

    Raises:
        UserError: The folder holds no study.
    """
    folder = StudyFolder(Path(out))
    specification, study = load_study(folder)
    records = folder.finished()
    generators = folder.finished_generators()
    failures = [
        read_json(path)
        for room in ("generators", "cells")
        for path in sorted((folder.root / room).glob("*.failed.json"))
    ]
    of_generators = specification.distances is not None
    analysed = analyse_generators if of_generators else analyse
    content = analysed(specification, records, failures)
    content["data"] = study["data"]
    content["data_root"] = study["data_root"]
    content["again"] = _commands_again(folder.root, study)
    content["data_notes"] += _version_notes(records)
    content["timings"] = _timings(records + generators)
    content["versions"] = records[0]["versions"] if records else library_versions()
    content["machines"] = sorted({r["machine"] for r in records + generators})
    content["commands"] = {r["name"]: r["commands"] for r in generators + records}
    content["checkpoints"] = {r["name"]: r["checkpoint_sha256"] for r in generators + records}
    content["settings"] = {r["name"]: r["settings"] for r in generators + records}
    pictures = (
        generator_page.pictures(folder, specification, content, records)
        if of_generators
        else _pictures(folder, specification, study, content, records, generators)
    )
    content["not_shown"] = [
        f"{picture.title}: {picture.caption}"
        for group in pictures.values()
        for picture in group
        if picture.png is None
    ]
    write_json_atomic(folder.root / "report.json", content)
    if of_generators:
        tables_of, template = generator_page.tables(specification, content), "generators.html.j2"
    else:
        tables_of, template = _tables(specification, content), "report.html.j2"
    write_text_atomic(folder.root / "report.md", _markdown(specification, content, tables_of))
    page = render_page(
        Path(__file__).with_name(template),
        specification=specification,
        content=content,
        pictures=pictures,
        **tables_of,
        yaml_text=yaml_text(content["specification"]),
        duration=duration,
        count=count,
    )
    write_text_atomic(folder.root / "report.html", page)
    return folder.root / "report.html"


def _pictures(
    folder: StudyFolder,
    specification: Specification,
    study: Mapping[str, Any],
    content: Mapping[str, Any],
    records: Sequence[Mapping[str, Any]],
    generators: Sequence[Mapping[str, Any]],
) -> dict[str, list[PageFigure]]:
    metric = specification.metric.title
    nothing = "no cell is finished."
    curve_png, lacking = plots.curves(specification, records)
    pictures = {
        "bars": [
            PageFigure(
                "Scores",
                plots.bars(specification, content),
                f"Bars of {metric} per model and scenario with intervals; the table above holds "
                "the same numbers.",
                "Bars or marks: mean; lines: interval over patients; dots: seeds; diamonds: "
                "the paper."
                if content["cells_done"]
                else nothing,
            )
        ],
        "differences": [
            PageFigure(
                "Differences",
                plots.differences(specification, content),
                "Differences between scenarios with intervals; the table above holds the numbers.",
                "Circle: mean over patients, filled where significant; thick line: interval; "
                "ticks: single patients."
                if any(comparison["value"] is not None for comparison in content["comparisons"])
                else "no pair of scenarios is finished.",
            )
        ],
        "curves": [
            PageFigure(
                "Training curves",
                curve_png,
                "Training loss and validation score against images seen, per model and scenario.",
                " ".join(lacking) if records else nothing,
            )
        ],
        "sheets": [],
        "predictions": [],
    }
    if generators:
        generator_png = plots.generator_curves(generators)
        pictures["curves"].append(
            PageFigure(
                "The generator's training",
                generator_png,
                "Losses of the generator's training against images seen, one line per seed.",
                "" if generator_png else "no loss was logged.",
            )
        )
    if any(scenario.synthetic for scenario in specification.scenarios):
        pictures["sheets"].append(_sheet(folder, study, generators))
    roc = roc_curves(specification, content, records)
    if roc is not None:
        pictures["predictions"] = [
            PageFigure(
                "ROC curves",
                roc,
                "ROC curves of all scenarios; the tables hold their AUROC.",
                "Test split; one line per seed.",
            ),
            *_grad_cams(folder, specification, records),
        ]
        return pictures
    pairs = [(s.id, m.name) for m in specification.models for s in specification.scenarios]
    found, without = prediction_pictures(folder.root, pairs, records)
    for (scenario, model), png in found.items():
        title = f"{specification.model(model).title}, scenario {scenario}"
        name = specification.scenario(scenario).name
        alt = f"Predictions of {title} ({name}) drawn over test images."
        pictures["predictions"].append(PageFigure(title, png, alt, name))
    if without:
        pictures["predictions"].append(
            PageFigure("Predictions", None, "", f"no predictions.png for: {'; '.join(without)}.")
        )
    return pictures


def _grad_cams(
    folder: StudyFolder, specification: Specification, records: Sequence[Mapping[str, Any]]
) -> list[PageFigure]:
    """Where the first seed of every scenario and model looked."""
    pictures = []
    for record in [record for record in records if record["seed"] == specification.seeds[0]]:
        model = specification.model(record["model"]).title
        name = specification.scenario(record["scenario"]).name
        title = f"Grad-CAM, {model}, {name}"
        path = folder.run(record["name"]) / "evaluation" / "grad_cam.png"
        try:
            png, caption = shrunk_png(path), "Which places raised the score, not why."
        except OSError as error:
            png, caption = None, f"{path} cannot be read ({error})."
        alt = f"Test films with maps of what {model} ({name}) used."
        pictures.append(PageFigure(title, png, alt, caption))
    return pictures


def _sheet(
    folder: StudyFolder, study: Mapping[str, Any], generators: Sequence[Mapping[str, Any]]
) -> PageFigure:
    title = "Real and synthetic images"
    alt = "Rows of real and of synthetic images."
    if not generators:
        return PageFigure(title, None, alt, "no generator is finished.")
    seed = generators[0]["settings"]["seed"]
    try:
        cache, synthetic = open_cache(study["data_root"]), folder.synthetic(seed)
        if isinstance(cache, FilmCache):
            png, caption = real_synthetic_films(cache, synthetic)
        else:
            png, caption = real_synthetic_sheet(cache, synthetic)
    except (UserError, OSError, ValueError, KeyError) as error:
        return PageFigure(title, None, alt, f"could not be drawn ({type(error).__name__}: {error})")
    return PageFigure(title, png, alt, f"{caption} Generator of seed {seed}.")


def _timings(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    per_job = {record["name"]: record["timings"] for record in records}
    parts = ("fit_seconds", "evaluate_seconds", "generate_seconds")
    total = sum(timing.get(part) or 0.0 for timing in per_job.values() for part in parts)
    return {"jobs": per_job, "total_seconds": total, "total": duration(total)}


def _version_notes(records: Sequence[Mapping[str, Any]]) -> list[str]:
    names = {name for record in records for name in record["versions"]}
    mixed = [
        name
        for name in sorted(names)
        if len({record["versions"].get(name) for record in records}) > 1
    ]
    return [f"Cells ran with different versions of {', '.join(mixed)}."] if mixed else []


def _commands_again(out: Path, study: Mapping[str, Any]) -> list[str]:
    labels = f" --labels {study['labels_root']}" if study["labels_root"] else ""
    weights = f" --weights {study['weights']}" if study.get("weights") else ""
    given = f"--data.root {study['data_root']}{labels}{weights}"
    return [
        f"python study.py run {out / 'study.yaml'} {given} --out ANOTHER_FOLDER",
        f"python study.py report {out}",
    ]


def _tables(specification: Specification, content: Mapping[str, Any]) -> dict[str, Any]:
    """The tables of a study of downstream models, by the template's names."""
    return {
        "main": tables.main_table(specification, content),
        "comparisons": tables.comparison_table(specification, content),
        "further": tables.further_tables(specification, content) if content["further"] else [],
        "worst": tables.worst_table(specification, content),
    }


_SECTIONS = {
    "main": "Scores",
    "comparisons": "Tests",
    "further": "All scores",
    "worst": "Test items with the worst scores",
    "training": "Distance to training films by epoch",
    "held_out": "Distance to held-out films",
    "published": "Published",
}


def _markdown(
    specification: Specification, content: Mapping[str, Any], tables_of: Mapping[str, Any]
) -> str:
    answer = content["answer"]
    lines = [f"# {specification.title}", "", specification.question, ""]
    lines += [f"**{answer['headline']}**", ""]
    lines += [
        f"- {line['model']}, {line['pair']}: {line['verdict']} ({line['numbers']})"
        for line in answer["lines"]
    ]
    lines += ["", *(f"> {limit}\n" for limit in [*answer["limits"], *content["data_notes"]])]
    for key, value in tables_of.items():
        found = [table for table in (value if isinstance(value, list) else [value]) if table]
        if any(table.rows or table.footnotes for table in found):
            lines += [f"## {_SECTIONS[key]}", "", *(markdown(table) for table in found)]
    lines += ["## Failures", ""]
    for failure in content["failures"]:
        lines.append(f"- {failure['name']}: {str(failure['message']).splitlines()[0]}")
    missing = ", ".join(content["cells_missing"])
    lines += [f"- missing cells: {missing}" if missing else "- no cell is missing", ""]
    lines += [f"- not shown: {lacking}" for lacking in content["not_shown"]]
    lines += ["", "## To make it again", "", "```"]
    lines += [*content["again"], "```", ""]
    lines += [f"Computing time {content['timings']['total']} on {', '.join(content['machines'])}."]
    lines += [", ".join(f"{name} {value}" for name, value in content["versions"].items()), ""]
    return "\n".join(lines)
