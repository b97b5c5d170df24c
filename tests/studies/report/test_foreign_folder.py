"""A report of a study's folder from others: text stays text, and no file outside it is shown."""

import base64
import io
import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from display.tables import as_text
from output_folder import LOCK, locked
from provenance import UserError
from studies.report.sheets import shrunk_file
from studies.report.write import build_report

EARLIER = Path(__file__).parents[2] / "earlier_version.json"
TAG = "<script>alert(1)</script>"
REMOTE = "![seen](https://example.org/seen.png)"


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A finished study, as a small one of an earlier version wrote it."""
    for name, content in json.loads(EARLIER.read_text())["files"].items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if "text" in content:
            path.write_text(content["text"], encoding="utf-8")
        else:
            path.write_bytes(zlib.decompress(base64.b64decode(content["zlib_base64"])))
    edit(tmp_path / "study/study.json", lambda c: c.update(data_root=str(tmp_path / "slices")))
    return tmp_path / "study"


def edit(path: Path, change: Callable[[Any], Any]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def cell(study: Path) -> Path:
    return sorted((study / "cells").glob("*.json"))[0]


def png(path: Path, value: int, side: int = 20) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((side, side), value, np.uint8)).save(path)


def test_names_from_others_are_text(study: Path) -> None:
    words = f"{TAG} {REMOTE}"

    def rename(content: Any) -> None:
        specification = content["specification"]
        specification.update(title=words, question=words)
        for part in (*specification["scenarios"], *specification["models"]):
            part.update({"name": words} if "id" in part else {"title": words})
        content["data_root"] = f"```\n{words}"
        content["data"]["dataset"] = words

    edit(study / "study.json", rename)
    for path in (study / "cells").glob("*.json"):
        edit(path, lambda c: c.update(machine=words, versions={**c["versions"], words: words}))
    failed = {"name": words, "message": words, "traceback": words, "log": words}
    (study / "cells/x.failed.json").write_text(json.dumps(failed))
    page = build_report(study).read_text()
    assert "<script" not in page
    assert "https://example.org" in page  # as text: no tag of the page asks for it
    assert 'src="https' not in page
    text = (study / "report.md").read_text()
    assert "<script" not in text.split("```")[0]
    assert "![seen" not in text.split("```")[0]
    assert text.count("```") == 2  # nothing in a name ends the block of commands
    assert "<script" not in text.split("```")[2]


def test_text_stays_text_in_markdown() -> None:
    assert as_text(TAG) == "&lt;script>alert(1)&lt;/script>"
    assert as_text("\\" + TAG) == "\\&lt;script>alert(1)&lt;/script>"
    assert as_text(REMOTE) == "!\\[seen](https://example.org/seen.png)"
    assert as_text("p < 0.001, a<1, [a](b)") == "p < 0.001, a<1, [a](b)"
    assert as_text(as_text(TAG + REMOTE)) == as_text(TAG + REMOTE)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda c: c.update(name="../../x"), "is no record of the job"),
        (lambda c: c.update(scenario=["1"]), r"is damaged \(scenario missing or of another kind"),
        (lambda c: c.update(evaluation=None), r"is damaged \(evaluation"),
        (lambda c: c.pop("versions"), r"is damaged \(versions"),
        (lambda c: c.update(seed="0"), r"is damaged \(seed"),
    ],
)
def test_a_record_of_another_kind_is_a_sentence(
    study: Path, change: Callable[[Any], Any], told: str
) -> None:
    edit(cell(study), change)
    with pytest.raises(UserError, match=told):
        build_report(study)


@pytest.mark.parametrize("text", ["[" * 200_000, "[]", "3", '{"specification": 3, "data": {}}'])
def test_a_study_of_another_kind_is_a_sentence(study: Path, text: str) -> None:
    (study / "study.json").write_text(text)
    with pytest.raises(UserError, match=r"study\.json"):
        build_report(study)
    (study / "study.json").unlink()


@pytest.mark.usefixtures("unrendered")
def test_pictures_outside_the_folder_are_not_shown(study: Path, tmp_path: Path) -> None:
    """A link would put a private picture into a page that is sent back."""
    private = tmp_path / "private.png"
    png(private, 100)
    name = json.loads(cell(study).read_text())["name"]
    path = study / "runs" / name / "evaluation/predictions.png"
    png(path, 100)
    build_report(study)
    shown = base64.b64encode(shrunk_file(study, path)).decode()
    assert shown in (study / "report.html").read_text()
    path.unlink()
    path.symlink_to(private)
    page = build_report(study).read_text()
    assert shown not in page
    assert "is a link to something outside" in page
    path.unlink()
    path.parent.rmdir()
    (tmp_path / "elsewhere").mkdir()
    private.rename(tmp_path / "elsewhere/predictions.png")
    path.parent.symlink_to(tmp_path / "elsewhere")
    assert shown not in build_report(study).read_text()


@pytest.mark.usefixtures("unrendered")
def test_pictures_of_another_kind_are_not_decoded(study: Path) -> None:
    name = json.loads(cell(study).read_text())["name"]
    path = study / "runs" / name / "evaluation/predictions.png"
    png(path, 0)
    stream = io.BytesIO()
    Image.new("1", (10_001, 10_000)).save(stream, "PNG")  # more pixels than are decoded
    for content in (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n", stream.getvalue(), b""):
        path.write_bytes(content)
        with pytest.raises(OSError, match=r"predictions\.png|pixels"):
            shrunk_file(study, path)
        assert "unreadable" in build_report(study).read_text()


@pytest.mark.usefixtures("unrendered")
def test_images_of_another_cache_are_not_shown(study: Path) -> None:
    """study.json says where the data lie; what lies there now may be somebody else's."""
    edit(study / "study.json", lambda c: c["data"].update(content_sha256="0" * 64))
    (study / "generators").mkdir(exist_ok=True)
    record = {**json.loads(cell(study).read_text()), "name": "generator__seed0"}
    (study / "generators/generator__seed0.json").write_text(json.dumps(record))

    def with_generator(content: Any) -> None:
        plan = {"config": "configs/kits19/pix2pix.yaml", "num_images": 2}
        content["specification"]["generator"] = plan
        content["specification"]["scenarios"][-1]["synthetic"] = True

    edit(study / "study.json", with_generator)
    page = build_report(study).read_text()
    assert "holds other images than those of the study" in page


def test_a_lock_that_is_a_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("kept")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / LOCK).symlink_to(tmp_path / "mine.txt")
    with pytest.raises(UserError, match="is a link"), locked(tmp_path / "theirs", "study.py"):
        pass
    assert (tmp_path / "mine.txt").read_text() == "kept"
    os.unlink(tmp_path / "theirs" / LOCK)
    with locked(tmp_path / "theirs", "study.py"):
        pass
