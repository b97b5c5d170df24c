"""generate.py --audit: the set is audited when it is made, and says what was found."""

from pathlib import Path

import pytest

import generate
from datamodules.synthetic import SyntheticSet
from provenance import UserError, read_json, sha256_of
from tests.audit.test_command import films_root
from tests.gan_runs import trained

__all__ = ["films_root"]


@pytest.fixture(scope="module")
def checkpoint(films_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(films_root, "dcgan", tmp_path_factory.mktemp("run"))


def words(checkpoint: Path, out: Path, *more: object) -> list[str]:
    given = ["--checkpoint", checkpoint, "--num-images", 12, "--out", out, *more]
    return [*map(str, given), "--device=cpu"]


def test_a_set_is_audited_and_says_so(
    checkpoint: Path,
    films_root: Path,
    tmp_path: Path,
    quick_audit: None,
    unrendered: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "set"
    assert generate.main(words(checkpoint, out)) == 0
    assert "Not audited for copies" in capsys.readouterr().out
    made = SyntheticSet.open(out)
    assert made.manifest["audit"] is None

    # The same set with --audit alone: of the cache that the generator was trained on.
    few = ["--num-planted", "20", "--num-held-out", "30"]
    rule = ["--require", "num_synthetic>=12"]
    status = generate.main(words(checkpoint, out, "--audit", *rule, *few))
    assert status == 0
    printed = capsys.readouterr().out
    assert "12 synthetic images, 12 training images of 12 patients" in printed
    assert "num_synthetic>=12: holds: 12." in printed
    [folder] = (tmp_path / "runs").iterdir()
    assert folder.name == f"audit_set_{made.content_sha256[:8]}"
    audited = SyntheticSet.open(out)
    found = read_json(folder / "audit.json")
    assert (found["num_planted"], found["num_held_out"]) == (20, 30)
    assert audited.manifest["audit"]["audit_sha256"] == sha256_of(folder / "audit.json")
    assert audited.content_sha256 == made.content_sha256
    assert "**Audited for copies" in (out / "README.md").read_text()

    # A second set without what was flagged: nothing was, or what lies below the threshold is in it.
    left = tmp_path / "left"
    generate.main(words(checkpoint, out, "--audit", "--drop-copies", left, *few))
    if found["flagged"]:
        rest = SyntheticSet.open(left)
        assert len(rest.items) == 12 - found["flagged"]
        assert rest.manifest["without_copies"]["left_out"] == found["flagged"]
        assert rest.manifest["audit"] is None
    else:
        assert "nothing to leave out, and no" in capsys.readouterr().out
        assert not left.exists()

    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "audit.json").write_text('{"synthetic_sha256": "of another set"}')
    other = words(checkpoint, tmp_path / "other", "--audit", films_root, "--audit-out", mine)
    with pytest.raises(UserError, match=r"--audit-out .*mine: holds the audit of another set"):
        generate.main(other)
    assert SyntheticSet.open(tmp_path / "other").manifest["audit"] is None


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--require", "copies<=0.01"], r"--require copies<=0.01: is about the audit. Add --audit"),
        (["--audit-out", "a"], r"--audit-out a: is about the audit"),
        (["--num-planted", "20"], r"--num-planted 20: is about the audit. Add --audit"),
        (["--num-held-out", "30"], r"--num-held-out 30: is about the audit"),
        (["--drop-copies", "b"], r"--drop-copies b: is about the audit"),
        (["--audit", "--num-planted", "19"], r"--num-planted 19: expected 20 or more"),
        (["--audit", "--num-held-out", "29"], r"--num-held-out is 29; .* of 30 held-out"),
        (["--audit", "--require", "copies"], r"'copies' is no rule"),
        (["--audit", "nowhere"], r"nowhere"),
    ],
)
def test_what_is_wrong_is_told_before_the_images_are_made(
    checkpoint: Path, tmp_path: Path, more: list[str], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        generate.main(words(checkpoint, tmp_path / "set", *more))
    assert not (tmp_path / "set").exists()
