"""A class's answers to the questionnaire as the mean grade in percent, as in Lee et al. 2021.

python docs/course/questionnaire.py ANSWERS.csv --out DIR

The paper: five students, three grades of 5 and two of 4, so 23 of 25 points: 92 %. Beside that
figure stands an interval which is honest for five students. Names never get into the results.
"""

import csv
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from command_line import parsed, run_verb, verb_parser  # noqa: E402
from display.numbers import interval  # noqa: E402
from display.tables import markdown, text_table  # noqa: E402
from provenance import (  # noqa: E402
    UserError,
    read_json,
    sha256_of,
    write_json_atomic,
    write_text_atomic,
)

LOWEST, HIGHEST = 1, 5
CONFIDENCE = 0.95
RESULT, PICTURE, TABLE = "questionnaire.json", "questionnaire.png", "questionnaire.md"
_QUESTION = re.compile(r"q\d+\w*")


@dataclass(frozen=True)
class Answers:
    """Grades of one question.

    Attributes:
        question: The column, for example "q1_overall".
        grades: 1 to 5, of those who answered.
        missing_lines: Lines of the file without an answer; the header is line 1.
    """

    question: str
    grades: list[int]
    missing_lines: list[int]


def read_answers(path: Path) -> list[Answers]:
    """Read one row per student, one column per question (q1..., q2..., ...).

    All other columns (names, codes, comments) are left out, and nothing of them is kept.

    Raises:
        UserError: No such file, no question, nobody answered, or rows that cannot be right: all of
            them, by line. What they hold is not repeated, for it may be a name.
    """
    rows = _rows(Path(path))
    header = [name.strip() for name in rows[0][1]] if rows else []
    questions = {column: name for column, name in enumerate(header) if _QUESTION.fullmatch(name)}
    if not questions:
        raise UserError(
            f"{path}: has no column of grades. Name them q1_overall, q2_..., in the first line, as "
            "docs/course/questionnaire.csv does."
        )
    if len(set(questions.values())) < len(questions):
        raise UserError(f"{path}: two columns have the same name. Number the questions q1, q2, ...")
    found: dict[int, list[tuple[int, str]]] = {column: [] for column in questions}
    wrong = []
    for line, row in rows[1:]:
        if len(row) != len(header):
            wrong.append(f"line {line} has {len(row)} fields, not {len(header)}")
            continue
        for column, name in questions.items():
            cell = row[column].strip()
            if cell and cell not in {str(g) for g in range(LOWEST, HIGHEST + 1)}:
                wrong.append(f"line {line}, {name}")
            found[column].append((line, cell))
    if wrong:
        raise UserError(
            f"{path}: {'; '.join(wrong)}: expected a whole grade from {LOWEST} to {HIGHEST}, or "
            "nothing where there is no answer. Nothing was written; correct these rows."
        )
    answers = [
        Answers(
            name,
            [int(cell) for _, cell in found[column] if cell],
            [line for line, cell in found[column] if not cell],
        )
        for column, name in questions.items()
    ]
    if not any(each.grades for each in answers):
        raise UserError(f"{path}: nobody answered anything. Write a row for each student.")
    return answers


def mean_as_percent(grades: Sequence[int]) -> float:
    """Mean grade as percent of 5, as in Lee et al. 2021: 20 (all grades 1) to 100."""
    return 100 * sum(grades) / len(grades) / HIGHEST


def interval_as_percent(
    grades: Sequence[int], confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Confidence interval of the mean grade, as percent of 5, for any number of students.

    From the exact Kolmogorov-Smirnov band about the distribution of grades: for the lower end, the
    best grades lose as much weight as chance may have given them, and it goes to grade 1; for the
    upper end the other way round. No shape of the distribution is assumed, so the interval is wide,
    and not empty where all agree. A bootstrap of five equal grades would have no width at all.

    Args:
        grades: One or more of 1 to 5, of students taken for a sample of all who could attend.
        confidence: At least this share of such intervals holds the true mean.

    Source: Anderson 1969, Confidence limits for the expected value of an arbitrary bounded random
    variable; scipy's exact one-sided distribution, half of the error for each end.
    """
    from scipy.stats import ksone

    moved = min(1.0, float(ksone.ppf((1 + confidence) / 2, len(grades))))
    ordered = sorted(grades)
    low = LOWEST * moved + _mean_part(ordered, 1 - moved)
    high = HIGHEST * moved + _mean_part(ordered[::-1], 1 - moved)
    return 100 * low / HIGHEST, 100 * high / HIGHEST


def summarise(answers: Sequence[Answers]) -> list[dict[str, Any]]:
    """A row for each question: numbers only, nothing about a person."""
    rows = []
    for each in answers:
        low, high = interval_as_percent(each.grades) if each.grades else (None, None)
        rows.append(
            {
                "question": each.question,
                "num_answers": len(each.grades),
                "num_missing": len(each.missing_lines),
                "missing_lines": each.missing_lines,
                "counts": {g: each.grades.count(g) for g in range(LOWEST, HIGHEST + 1)},
                "percent": mean_as_percent(each.grades) if each.grades else None,
                "low": low,
                "high": high,
            }
        )
    return rows


def table_of(rows: Sequence[dict[str, Any]]) -> str:
    """The summary as a page of Markdown."""
    lines = [
        "# Answers to the course's questionnaire",
        "",
        f"Mean grade as percent of {HIGHEST} (all grades {LOWEST}: 20 %, all {HIGHEST}: 100 %).",
        "",
    ]
    columns = (
        "question", "students", "mean grade", "95 % interval", "grades 1 / 2 / 3 / 4 / 5", "missing"
    )  # fmt: skip
    body = []
    for row in rows:
        value, span = "-", "-"
        if row["percent"] is not None:
            value = f"{row['percent']:.0f} %"
            span = interval(row["low"], row["high"], ".0f") + " %"
        missing = str(row["num_missing"])
        if row["missing_lines"]:
            missing += f" (line {', '.join(map(str, row['missing_lines']))})"
        body.append(
            (
                row["question"],
                str(row["num_answers"]),
                value,
                span,
                " / ".join(str(count) for count in row["counts"].values()),
                missing,
            )
        )
    lines += [
        markdown(text_table(columns, body)),
        "The interval holds whatever the distribution of grades is (Anderson 1969), if these "
        "students are like those who will come. With five of them it is wide: that is what five "
        "answers can say. It cannot allow for who did not answer, nor for grades given to please.",
    ]
    return "\n".join(lines) + "\n"


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Bars of the mean grade as percent with their intervals, first question on top."""
    from matplotlib.figure import Figure

    shown = [row for row in rows if row["percent"] is not None]
    figure = Figure(figsize=(8, 1.4 + 0.5 * len(shown)), dpi=120, layout="constrained")
    axes = figure.subplots()
    heights = range(len(shown))
    values = [row["percent"] for row in shown]
    spans = [
        [row["percent"] - row["low"] for row in shown],
        [row["high"] - row["percent"] for row in shown],
    ]
    axes.barh(heights, values, xerr=spans, color="#4477aa", ecolor="0.25", capsize=4, height=0.6)
    for height, row in zip(heights, shown, strict=True):
        axes.text(3, height, f"{row['percent']:.0f} %", color="white", va="center", weight="bold")
    names = [f"{row['question'].replace('_', ' ')} (N = {row['num_answers']})" for row in shown]
    axes.set_yticks(heights, names)
    axes.invert_yaxis()
    axes.set(xlim=(0, 101), xlabel="mean grade as percent of 5, with 95 % interval")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the command line; UserErrors are left to `run_verb`."""
    parser = verb_parser("questionnaire.py", __doc__)
    parser.add_argument("answers", type=str, help="CSV: a row per student, columns q1..., q2...")
    parser.add_argument("--out", type=str, required=True, help="Folder for the results.")
    chosen = parsed(parser, sys.argv[1:] if arguments is None else arguments)
    source, out = Path(chosen.answers), Path(chosen.out)
    answers = read_answers(source)
    result: dict[str, Any] = {"sha256_answers": sha256_of(source), "questions": summarise(answers)}
    there = out / RESULT
    if there.exists() and read_json(there).get("sha256_answers") != result["sha256_answers"]:
        raise UserError(f"--out {out}: holds the results of other answers. Give another folder.")
    draw(result["questions"], out / PICTURE)
    write_text_atomic(out / TABLE, table_of(result["questions"]))
    write_json_atomic(there, result)
    print(table_of(result["questions"]))
    print(f"Results: {out} ({PICTURE}, {TABLE}, {RESULT})")
    return 0


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """Line number and fields of every row that holds anything; commas or, as some Excels, ;."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as stream:
            first = stream.readline()
            stream.seek(0)
            reader = csv.reader(
                stream, delimiter=";" if first.count(";") > first.count(",") else ","
            )
            return [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except FileNotFoundError:
        raise UserError(f"{path}: no such file.") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"{path}: is no CSV in UTF-8 ({type(error).__name__}). Save it so."
        ) from None


def _mean_part(ordered: Sequence[int], weight: float) -> float:
    """Sum of grades times weight, the first ones until `weight` (0 to 1) is used up."""
    total, left = 0.0, weight
    for grade in ordered:
        used = min(left, 1 / len(ordered))
        total, left = total + grade * used, left - used
    return total


if __name__ == "__main__":
    sys.exit(run_verb("questionnaire.py", main))
