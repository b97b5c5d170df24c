"""The course runs from top to bottom, is stored without outputs, and its questions have answers."""

import csv
import importlib.util
import itertools
import json
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from provenance import UserError
from tests.training_runs import run

COURSE = Path(__file__).parents[1] / "docs" / "course"
NOTEBOOKS = sorted(COURSE.glob("*.ipynb"))
OWN_DATA = ("COURSE_FILMS", "COURSE_SLICES", "COURSE_WEIGHTS")
# A kernel's start costs 8 seconds of imports; a clean namespace in the same kernel costs none.
NEW_NAMESPACE = f"""
_kept = globals().get("_kept") or set(globals())
for _name in set(globals()) - _kept:
    if not _name.startswith("_"):
        del globals()[_name]
import os as _os
_os.chdir({str(COURSE)!r})
"""


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, COURSE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module", autouse=True)
def paths() -> Iterator[None]:
    """The course's modules add folders to the path; other tests shall not see these."""
    before = list(sys.path)
    yield
    sys.path[:] = before


@pytest.fixture(scope="module")
def questionnaire() -> ModuleType:
    return load("questionnaire")


def text_of(notebook: Path, kind: str = "markdown") -> str:
    cells = json.loads(notebook.read_text())["cells"]
    return "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == kind)


# ---- notebooks ---------------------------------------------------------------------------------

# All notebooks, one after the other, each with names of its own. What they show is drawn; the
# plots of evaluations, which other tests are about, are not.
IN_TURN = """
import io, json, os, sys
from pathlib import Path
import matplotlib
matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.figure import Figure
from PIL import Image

def show():
    for number in pyplot.get_fignums():
        pyplot.figure(number).canvas.print_figure(io.BytesIO())
        pictures[notebook.name] += 1
    pyplot.close("all")

def savefig(self, stream, **settings):
    Image.new("RGB", (8, 8)).save(stream, "png")

pyplot.show, Figure.savefig = show, savefig
Figure.draw_without_rendering = lambda self: None
sys.path.insert(0, course)
pictures = {}
for notebook in map(Path, notebooks):
    pictures[notebook.name] = 0
    os.chdir(course)
    names = {"__name__": "__main__"}
    for index, cell in enumerate(json.loads(notebook.read_text())["cells"]):
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"{notebook.name}, cell {index}", "exec"), names)
Path(told).write_text(json.dumps(pictures))
"""


def small(data: Path) -> dict[str, str]:
    return {"COURSE_SIZE": "small", "COURSE_DATA": str(data)}


def assert_no_picture_is_lost(pictures: dict[str, int]) -> None:
    asked = {
        n.name: len(re.findall(r"course\.(?:show|plot)|plt\.show", text_of(n, "code")))
        for n in NOTEBOOKS
    }
    # A loop may draw more than one.
    assert all(pictures[name] >= asked[name] for name in asked), (pictures, asked)


@pytest.mark.timeout(900)
def test_all_notebooks_run(tmp_path: Path) -> None:
    told, errors = tmp_path / "pictures.json", tmp_path / "errors.log"
    names = {"notebooks": [*map(str, NOTEBOOKS)], "course": str(COURSE), "told": str(told)}
    status = run(IN_TURN, errors, 840, small(tmp_path), **names)
    assert status == 0, errors.read_text()[-2000:]
    assert_no_picture_is_lost(json.loads(told.read_text()))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_all_notebooks_run_in_jupyter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in small(tmp_path).items():
        monkeypatch.setenv(name, value)
    for name in OWN_DATA:
        monkeypatch.delenv(name, raising=False)
    client = NotebookClient(
        nbformat.v4.new_notebook(),
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(COURSE)}},
    )
    pictures = {}
    with client.setup_kernel():
        for notebook in NOTEBOOKS:
            client.nb = nbformat.read(notebook, 4)
            client.nb.cells.insert(0, nbformat.v4.new_code_cell(NEW_NAMESPACE))
            for index, cell in enumerate(client.nb.cells):
                try:
                    client.execute_cell(cell, index)
                except CellExecutionError as error:
                    pytest.fail(f"{notebook.name}, cell {index}: {error}")
            outputs = [o for c in client.nb.cells for o in c.get("outputs", [])]
            pictures[notebook.name] = sum("image/png" in o.get("data", {}) for o in outputs)
    assert_no_picture_is_lost(pictures)


def test_there_are_eight_and_the_teacher_s_page_names_them() -> None:
    assert [n.name[:2] for n in NOTEBOOKS] == [f"{i:02d}" for i in range(1, 9)]
    page = (COURSE / "README.md").read_text()
    assert all(f"({n.name})" in page for n in NOTEBOOKS)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_without_outputs_and_with_its_parts(notebook: Path) -> None:
    nbformat.validate(nbformat.read(notebook, 4))
    content = json.loads(notebook.read_text())
    for cell in content["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None
    headings = re.findall(r"^## (.+)$", text_of(notebook), re.M)
    positions = [headings.index(name) for name in ("Aims", "Theory in short", "Tasks", "Questions")]
    assert positions == sorted(positions)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_question_has_an_answer_and_none_gives_it_away(notebook: Path) -> None:
    unit = int(notebook.name[:2])
    asked = re.findall(r"^\*\*Q(\d\.\d+)\*\*", text_of(notebook), re.M)
    answered = re.findall(rf"^\*\*Q({unit}\.\d+)\*\*", (COURSE / "answers.md").read_text(), re.M)
    assert asked == [f"{unit}.{number}" for number in range(1, len(asked) + 1)]
    assert asked == answered
    assert "answers.md" not in notebook.read_text()


def test_prepared_films_of_one_s_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, film_cache: Any
) -> None:
    course = load("course")
    own = film_cache(tmp_path / "own")
    monkeypatch.setenv("COURSE_FILMS", str(own))
    assert course.films() == own
    assert course.side(own) == 32
    three = film_cache(tmp_path / "three", labels=("normal", "pneumonia", "effusion"))
    monkeypatch.setenv("COURSE_FILMS", str(three))
    with pytest.raises(UserError, match="needs films with labels of two classes"):
        course.films()
    monkeypatch.setenv("COURSE_SIZE", "tiny")
    with pytest.raises(UserError, match="COURSE_SIZE is 'tiny'; expected full or small"):
        load("course")


def test_history_is_one_value_for_each_epoch(tmp_path: Path) -> None:
    rows = ["images_seen,epoch,name,value"]
    rows += ["16,0,train/loss,1.0", "32,0,train/loss,0.5", "32,0,val/loss,0.7"]
    rows += ["48,1,train/loss,0.25", "48,1,val/loss,0.6"]
    (tmp_path / "metrics.csv").write_text("\n".join(rows))
    course = load("course")
    assert course.history(tmp_path, "train/loss") == ([32, 48], [0.75, 0.25])
    assert course.history(tmp_path, "val/loss") == ([32, 48], [0.7, 0.6])
    with pytest.raises(UserError, match=r"no metric val/auroc, only train/loss, val/loss"):
        course.history(tmp_path, "val/auroc")


def test_labels_of_drawn_films() -> None:
    def label(case: int, finding: str, strength: str) -> str | None:
        image = f"films/case_{case:06d}/film_{case:06d}_0_pa.dcm"
        state = "normal" if finding == "none" else "abnormal"
        row = {"image": image, "label": state, "finding": finding, "strength": strength}
        return load("drawn_films").label_of(row)

    assert label(2, "none", "0") == "normal"
    assert label(3, "none", "0") is None
    assert label(3, "effusion", "0.3") == "abnormal"
    assert label(3, "large_heart", "0.29") is None
    assert label(3, "nodule|large_heart", "0.2|0.9") == "abnormal"
    assert label(3, "nodule", "1") is None


# ---- questionnaire -----------------------------------------------------------------------------


def write(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_the_paper_s_figure(questionnaire: ModuleType, tmp_path: Path) -> None:
    assert questionnaire.mean_as_percent([5, 5, 5, 4, 4]) == 92
    out = tmp_path / "out"
    assert questionnaire.main([str(COURSE / "questionnaire.csv"), "--out", str(out)]) == 0
    result = json.loads((out / "questionnaire.json").read_text())["questions"]
    overall = result[0]
    assert (overall["percent"], overall["num_answers"], overall["num_missing"]) == (92, 5, 0)
    assert "| q1_overall | 5 | 92 % | 47 to 100 % |" in (out / "questionnaire.md").read_text()
    by_name = {row["question"]: row for row in result}
    assert by_name["q6_evaluation"]["missing_lines"] == [5]
    assert (out / "questionnaire.png").read_bytes()[:4] == b"\x89PNG"
    assert set(by_name) == {f for f in header(COURSE / "questionnaire.csv") if f.startswith("q")}


def header(path: Path) -> list[str]:
    with open(path, newline="") as stream:
        return next(csv.reader(stream))


def test_the_printed_sheet_and_the_example_ask_the_same(questionnaire: ModuleType) -> None:
    printed = re.findall(r"^\| (q\d) \|", (COURSE / "questionnaire.md").read_text(), re.M)
    answers = questionnaire.read_answers(COURSE / "questionnaire.csv")
    assert [each.question.split("_")[0] for each in answers] == printed


@pytest.mark.parametrize(
    "chances", [(0, 0, 0, 0.4, 0.6), (0.5, 0, 0, 0, 0.5), (0.02, 0, 0, 0, 0.98), (0.2,) * 5]
)
def test_the_interval_holds_the_truth_often_enough(
    questionnaire: ModuleType, chances: tuple[float, ...]
) -> None:
    """Exact coverage over all classes of five students, by their probability."""
    truth = 20 * sum((index + 1) * chance for index, chance in enumerate(chances))
    covered = 0.0
    for counts in itertools.product(range(6), repeat=5):
        if sum(counts) != 5:
            continue
        ways = math.factorial(5) / math.prod(math.factorial(n) for n in counts)
        probability = ways * math.prod(p**n for p, n in zip(chances, counts, strict=True))
        grades = [grade for grade, n in enumerate(counts, start=1) for _ in range(n)]
        low, high = questionnaire.interval_as_percent(grades)
        assert (
            20 <= low <= questionnaire.mean_as_percent(grades) + 1e-9 <= high + 2e-9 <= 100 + 3e-9
        )
        covered += probability * (low - 1e-9 <= truth <= high + 1e-9)
    assert covered >= 0.95


def test_the_interval_narrows_with_the_class_and_mirrors(questionnaire: ModuleType) -> None:
    interval = questionnaire.interval_as_percent
    widths = [np.diff(interval([5, 5, 5, 4, 4] * n))[0] for n in (1, 4, 20, 400)]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 10
    low, high = interval([5, 4, 4, 2, 1])
    assert interval([1, 2, 2, 4, 5]) == pytest.approx((120 - high, 120 - low))
    low, high = interval([5])
    assert (low, high) == (pytest.approx(20 + 80 * 0.025), 100)  # one student says next to nothing


def test_missing_answers_are_counted_and_other_columns_left_out(
    questionnaire: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        "name;q1_overall;q2_pace;comment",
        "Anna Schmidt;5;;good",
        ";;;",
        "Bo Li; 4 ;3;Frau Roth",
    ]
    answers = write(tmp_path / "class.csv", *rows, "Cy Roth;;;")
    questionnaire.main([str(answers), "--out", str(tmp_path / "out")])
    rows_ = json.loads((tmp_path / "out/questionnaire.json").read_text())["questions"]
    assert [(r["num_answers"], r["missing_lines"]) for r in rows_] == [(2, [5]), (1, [2, 5])]
    written = "".join(
        (tmp_path / "out" / name).read_text() for name in ("questionnaire.md", "questionnaire.json")
    )
    for name in ("Anna", "Schmidt", "Bo", "Li;", "Roth", "good"):
        assert name not in written + capsys.readouterr().out


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (
            ["q1", "5", "6", "4.5", "x"],
            "line 3, q1; line 4, q1; line 5, q1: expected a whole grade",
        ),
        (["student,q1", "a,5", "b"], "line 3 has 1 fields, not 2"),
        (["student,grade", "a,5"], "no column of grades"),
        (["q1,q1", "5,5"], "two columns have the same name"),
        (["student,q1", "a,"], "nobody answered"),
        ([""], "no column of grades"),
    ],
)
def test_wrong_tables_are_refused_by_line(
    questionnaire: ModuleType, tmp_path: Path, rows: list[str], sentence: str
) -> None:
    answers = write(tmp_path / "class.csv", *rows)
    with pytest.raises(UserError, match=sentence):
        questionnaire.main([str(answers), "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_results_of_other_answers_are_not_overwritten(
    questionnaire: ModuleType, tmp_path: Path
) -> None:
    out = str(tmp_path / "out")
    first = write(tmp_path / "first.csv", "q1", "5")
    questionnaire.main([str(first), "--out", out])
    questionnaire.main([str(first), "--out", out])
    with pytest.raises(UserError, match="holds the results of other answers"):
        questionnaire.main([str(write(tmp_path / "second.csv", "q1", "4")), "--out", out])
    with pytest.raises(UserError, match=r"absent\.csv: no such file"):
        questionnaire.main([str(tmp_path / "absent.csv"), "--out", out])
