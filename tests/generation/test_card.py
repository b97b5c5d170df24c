"""What a set says of its audit, in its card and its manifest."""

import json
from pathlib import Path
from typing import Any

import pytest

from cards.finish import finish_synthetic_set, record_audit
from datamodules.synthetic import SyntheticItem, SyntheticSet
from provenance import library_versions, sha256_of

MANIFEST: dict[str, Any] = {
    "dataset": "chest_xray",
    "image_size": 8,
    "seed": 0,
    "versions": library_versions(),
    "generator": {"checkpoint_sha256": "c" * 64, "images_seen": 1, "training_patients": ["a"]},
}
AUDIT = {
    "answer": "nothing found",
    "sentence": "These tests found no copies; they would have found 98.0 % of copies.",
    "audit_sha256": "d" * 64,
}


def finished(root: Path, number: int = 2, **more: Any) -> Path:
    items = [SyntheticItem(f"made_{i}", i) for i in range(number)]
    finish_synthetic_set(root, items, {**MANIFEST, **more}, "python generate.py --seed 0")
    return root


def test_a_set_that_nobody_audited_says_so(tmp_path: Path) -> None:
    root = finished(tmp_path)
    assert SyntheticSet.open(root).manifest["audit"] is None
    assert "**Not audited.**" in (root / "README.md").read_text()


def test_a_recorded_audit_changes_the_card_and_not_what_the_set_is_known_by(tmp_path: Path) -> None:
    root = finished(tmp_path)
    before = SyntheticSet.open(root)
    record_audit(root, AUDIT)
    after = SyntheticSet.open(root)
    assert after.manifest["audit"] == AUDIT
    assert after.content_sha256 == before.content_sha256
    assert after.items == before.items
    card = (root / "README.md").read_text()
    assert "**Audited for copies: nothing found.**" in card
    assert "python generate.py --seed 0" in card
    assert "Not audited" not in card


def test_the_same_set_made_again_keeps_its_audit_and_another_has_none(tmp_path: Path) -> None:
    root = finished(tmp_path)
    record_audit(root, AUDIT)
    finished(root, versions={**library_versions(), "torch": "9"})
    assert SyntheticSet.open(root).manifest["audit"] == AUDIT
    finished(root, number=3)
    assert SyntheticSet.open(root).manifest["audit"] is None


def test_what_a_damaged_manifest_recorded_is_not_taken_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = finished(tmp_path)
    record_audit(root, AUDIT)
    path = root / "manifest.json"
    path.write_text(path.read_text().replace("nothing found", "nothing fovnd"))
    finished(root)
    assert SyntheticSet.open(root).manifest["audit"] is None
    told = "manifest.json: is damaged or was changed since it was written. It is written anew"
    assert told in capsys.readouterr().err


def test_a_set_of_an_earlier_version_is_known_by_its_file_and_keeps_its_command(
    tmp_path: Path,
) -> None:
    root = finished(tmp_path)
    manifest = json.loads((root / "manifest.json").read_text())
    for key in ("audit", "evaluations", "command", "sha256", "sha256_files"):
        del manifest[key]
    (root / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    known_by = sha256_of(root / "manifest.json")
    assert SyntheticSet.open(root).content_sha256 == known_by
    record_audit(root, AUDIT)
    assert SyntheticSet.open(root).content_sha256 == known_by
    assert "python generate.py --seed 0" in (root / "README.md").read_text()
    (root / "README.md").unlink()
    record_audit(root, AUDIT)
    assert "not recorded" in (root / "README.md").read_text()


@pytest.mark.parametrize("change", [{"seed": 1}, {"image_size": 16}])
def test_what_a_set_is_known_by_changes_with_it(tmp_path: Path, change: dict[str, Any]) -> None:
    one, other = finished(tmp_path / "one"), finished(tmp_path / "other", **change)
    first, second = SyntheticSet.open(one), SyntheticSet.open(other)
    assert first.content_sha256 != second.content_sha256
