"""One self-contained HTML page from a study's folder, with the same in Markdown and JSON."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from display.numbers import count, duration
from display.pages import PageFigure, render_page
from display.tables import Table, as_text, markdown
from provenance import library_versions, write_json_atomic, write_text_atomic
from studies.report import downstream, generators
from studies.report.copies import ROOMS_OF_SETS, copies, next_steps, read_audits
from studies.report.downstream.external import external_sets, read_external
from studies.report.downstream.external_tables import external_sentences
from studies.report.downstream.label_table import label_sentence, read_label_checks
from studies.report.downstream.linear import linear_rows, linear_sentence
from studies.report.downstream.subgroups import subgroups
from studies.report.state import of_study
from studies.run.audits import GIVEN
from studies.run.decisions import changes_told
from studies.run.folder import StudyFolder, load_study, yaml_text
from studies.run.linear_baseline import read_linear_baseline
from studies.run.progress import seconds_of
from studies.run.records import read_record
from studies.specification.specification import Specification, find_path
from studies.statistics.cells import Record


class ReportKind(Protocol):
    """What a kind of study reports; a package is one, by these names.

    Attributes:
        TITLES: Headings in report.md of the tables that their names in `page_tables` do not name.
    """

    TITLES: dict[str, str]

    def analyse(
        self, specification: Specification, records: Sequence[Record], failures: Sequence[Record]
    ) -> dict[str, Any]:
        """All that report.json states, from the finished cells and the failed jobs."""

    def page_tables(
        self, specification: Specification, content: Mapping[str, Any]
    ) -> dict[str, Table | list[Table] | None]:
        """The tables, in the order of report.md; the page's template says by name where they go."""

    def page_figures(
        self,
        folder: StudyFolder,
        specification: Specification,
        content: Mapping[str, Any],
        records: Sequence[Record],
    ) -> dict[str, list[PageFigure]]:
        """The figures; the page's template says by name where they go."""


KINDS: dict[str, ReportKind] = {"downstream": downstream, "generators": generators}


def build_report(out: Path) -> Path:
    """Write report.html, report.md and report.json into a study's folder, finished or not.

    Returns:
        Path of report.html.

    Raises:
        UserError: The folder holds no study.
    """
    folder = StudyFolder(Path(out))
    specification, study = load_study(folder)
    kind = KINDS[specification.kind]
    records = folder.finished()
    generator_records = folder.finished_generators()
    failures = [
        read_record(path)
        for room in ("generators", "cells")
        for path in sorted((folder.root / room).glob("*.failed.json"))
    ]
    content = kind.analyse(specification, records, failures)
    written = specification.synthetic
    given = find_path(written) if written is not None else None
    audits = read_audits(folder, given)
    content["audits"] = {name: _of_report(found) for name, found in audits.items()}
    content["copies"] = copies(specification, audits, _sets(folder, given))
    if study.get("subgroups"):
        of_cells = of_study(specification, records)
        content["subgroups"] = subgroups(specification, of_cells, study["subgroups"])
    if study.get("external"):
        of_cells = of_study(specification, records)
        elsewhere = read_external(folder, study, of_cells)
        content["external"] = external_sets(
            specification, study, of_cells, elsewhere, content["shown"]
        )
        content["data_notes"] += external_sentences(specification, content)
    checks, others = read_label_checks(folder, specification)
    content["data_notes"] += others
    if checks:
        content["labels_found"] = checks
        content["data_notes"].append(label_sentence(specification, checks))
    views = read_linear_baseline(folder)
    if views and specification.kind == "downstream":
        content["linear"] = linear_rows(specification, views)
        content["data_notes"].append(linear_sentence(content["linear"]))
    # First of all: a verdict by what was chosen after the results is none.
    limits = changes_told(study.get("decisions") or [])
    content["answer"]["limits"] = limits + content["answer"]["limits"]
    content["next_steps"] = next_steps(content["answer"], content["copies"])
    content["data"] = study["data"]
    content["data_root"] = study["data_root"]
    content["again"] = _commands_again(folder.root, study)
    content["data_notes"] += _version_notes(records)
    content["timings"] = _timings(records + generator_records)
    content["versions"] = records[0]["versions"] if records else library_versions()
    jobs = generator_records + records
    content["machines"] = sorted({job["machine"] for job in jobs})
    content["commands"] = {job["name"]: job["commands"] for job in jobs}
    content["checkpoints"] = {job["name"]: job["checkpoint_sha256"] for job in jobs}
    content["settings"] = {job["name"]: job["settings"] for job in jobs}
    figures = kind.page_figures(folder, specification, content, records)
    content["not_shown"] = [
        f"{figure.title}: {figure.caption}"
        for group in figures.values()
        for figure in group
        if figure.png is None
    ]
    tables = kind.page_tables(specification, content)
    titles = {key: key.replace("_", " ").capitalize() for key in tables} | kind.TITLES
    text = _markdown(specification, content, tables, titles)
    page = render_page(
        Path(__file__).with_name(f"{specification.kind}.html.j2"),
        specification=specification,
        content=content,
        # Copies: the template takes out what it draws, and draws the rest at the end.
        page_tables=dict(tables),
        page_figures=dict(figures),
        titles=titles,
        yaml_text=yaml_text(content["specification"]),
        duration=duration,
        count=count,
    )
    # All is rendered: what fails above leaves the files of the last report as they were.
    write_json_atomic(folder.root / "report.json", content)
    write_text_atomic(folder.root / "report.md", text)
    write_text_atomic(folder.root / "report.html", page)
    return folder.root / "report.html"


def _sets(folder: StudyFolder, given: Path | None) -> list[str]:
    """Names of a study's finished synthetic sets, the one in place of a generator among them."""
    manifests = [m for room in ROOMS_OF_SETS for m in folder.root.glob(f"{room}/*/manifest.json")]
    return [path.parent.name for path in manifests] + [GIVEN] * (given is not None)


def _of_report(found: Mapping[str, Any]) -> dict[str, Any]:
    """An audit without its images one by one."""
    return {key: value for key, value in found.items() if key != "images"}


def _timings(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    per_job = {record["name"]: record["timings"] for record in records}
    total = sum(seconds_of(timings) for timings in per_job.values())
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
    sets = (study.get("external") or {}).items()
    external = "".join(f" --external {name}={one['root']}" for name, one in sets)
    given = f"--data.root {study['data_root']}{labels}{weights}{external}"
    return [
        f"python study.py run {out / 'study.yaml'} {given} --out ANOTHER_FOLDER",
        f"python study.py report {out}",
    ]


def _markdown(
    specification: Specification,
    content: Mapping[str, Any],
    tables: Mapping[str, Table | list[Table] | None],
    titles: Mapping[str, str],
) -> str:
    answer = content["answer"]
    lines = [f"# {specification.title}", "", specification.question, ""]
    lines += [f"**{answer['headline']}**", ""]
    lines += [
        f"- {line['model']}, {line['pair']}: {line['verdict']} ({line['numbers']}"
        f"{'; ' + line['reach'] if 'reach' in line else ''})"
        for line in answer["lines"]
    ]
    found = content["copies"]
    if found:
        lines += ["", f"**{found['headline']}**", ""]
        lines += [
            f"- {line['set']}: {line['verdict']} ({line['numbers']})"
            + "".join(f"; required: {sentence}" for sentence in line["required"])
            for line in found["lines"]
        ]
    if content["next_steps"]:
        lines += ["", "What to do next:", "", *(f"- {one}" for one in content["next_steps"])]
    lines += ["", *(f"> {limit}\n" for limit in [*answer["limits"], *content["data_notes"]])]
    for key, value in tables.items():
        found = [table for table in (value if isinstance(value, list) else [value]) if table]
        if any(table.rows or table.footnotes for table in found):
            lines += [f"## {titles[key]}", "", *(markdown(table) for table in found)]
    lines += ["## Failures", ""]
    for failure in content["failures"]:
        lines.append(f"- {failure['name']}: {str(failure['message']).splitlines()[0]}")
    missing = ", ".join(content["cells_missing"])
    lines += [f"- missing cells: {missing}" if missing else "- no cell is missing", ""]
    lines += [f"- not shown: {lacking}" for lacking in content["not_shown"]]
    lines = [as_text(line) for line in lines]
    lines += ["", "## To make it again", "", "```"]
    lines += [*(re.sub(r"\s+|```", " ", line) for line in content["again"]), "```", ""]
    computed = f"{content['timings']['total']} on {', '.join(content['machines'])}"
    versions = ", ".join(f"{name} {value}" for name, value in content["versions"].items())
    lines += [as_text(f"Computing time {computed}."), as_text(versions), ""]
    return "\n".join(lines)
