"""Audits that decide: rules and exit statuses, the record in the set, sets without copies."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import evaluate
from audit.disguises import GENERATED, disguises
from audit.figures import figures_of
from audit.left_out import after_leaving_out, most_missed
from audit.record import record_of
from audit.statistics import largest_share
from audit.table import table_of_audits
from audit.verdict import COPIES, NO_ANSWER, NOTHING_FOUND, exit_status
from datamodules.film_cache import FilmCache
from datamodules.synthetic import SyntheticSet
from gates.judge import CANNOT_BE_SAID, DOES_NOT_HOLD, HOLDS, judged
from gates.names import OF_AUDITS, kind_of
from gates.rules import parse_rules
from generation.without_copies import write_without_copies
from knowledge import Knowledge
from provenance import UserError, read_json, sha256_of
from tests.audit.test_command import centre, films_root, write_set

__all__ = ["films_root"]

RESULT: dict[str, Any] = {
    "task": "audit", "seed": 0, "num_synthetic": 300, "num_synthetic_independent": 300.0,
    "num_held_out_images": 400, "num_held_out_patients": 300, "num_training_patients": 500,
    "flagged": 3, "flagged_share": 0.01, "held_out_flagged_share": 0.01,
    "held_out_flagged_low": 0.005, "held_out_flagged_high": 0.02, "above_every_held_out": 0,
    "like_a_plain_copy": 0, "planted_found_share": 1.0, "smallest_share_shown": 0.03,
    "p_flagged": 0.5, "p_above_every_held_out": 1.0,
    "copies_at_most": largest_share(3, 300, 0.005, 1.0), "verdict": NOTHING_FOUND,
    "planted": [
        {
            "disguise": "noise 0.2", "num": 100, "found": 0.9, "low": 0.83, "high": 0.95,
            "copies_at_most": largest_share(3, 300, 0.005, 0.83),
        },
        {
            "disguise": "plain", "num": 100, "found": 1.0, "low": 0.96, "high": 1.0,
            "copies_at_most": largest_share(3, 300, 0.005, 0.96),
        },
    ],
    "by_distance": {
        "own": {
            "membership": {
                "membership_auc": {"value": 0.5, "low": 0.45, "high": 0.55}, "succeeds": False,
            },
            "reidentification": {"succeeds": False},
            "fidelity": {
                "synthetic": {"coverage": {"value": 0.7, "low": 0.65, "high": 0.75}},
                "held_out": {"coverage": {"value": 0.9, "low": 0.85, "high": 0.95}},
            },
        }
    },
}  # fmt: skip


_NOT_READ = ("p_flagged", "p_above_every_held_out")
GIVEN_AWAY = {"own": {"membership": {"succeeds": True}, "reidentification": {"succeeds": False}}}
FOUND = {"planted_found_share": 0.9}


def row_of(rule: str, **changed: Any) -> dict[str, Any]:
    [row] = judged(parse_rules(rule, OF_AUDITS), figures_of({**RESULT, **changed}))
    return row


def test_copies_are_the_excess_over_the_held_out_rate_and_their_bound_is_read() -> None:
    assert figures_of(RESULT)["copies"].value == 0.0
    value = figures_of({**RESULT, "flagged_share": 0.05, "planted_found_share": 0.81})["copies"]
    assert value.value == pytest.approx(0.04 / 0.8)
    at_most = RESULT["copies_at_most"]
    assert row_of(f"copies<={at_most}")["verdict"] == HOLDS
    assert row_of(f"copies<={at_most - 0.001}")["verdict"] == CANNOT_BE_SAID
    assert row_of("copies<=0.01", flagged=15, flagged_share=0.05)["verdict"] == DOES_NOT_HOLD


def test_the_worst_kinds_bound_has_a_rule_of_its_own() -> None:
    mixed, worst = RESULT["copies_at_most"], largest_share(3, 300, 0.005, 0.83)
    assert worst > mixed
    between = (mixed + worst) / 2
    assert row_of(f"copies<={between}")["verdict"] == HOLDS
    row = row_of(f"copies_of_any_kind<={between}")
    assert row["verdict"] == CANNOT_BE_SAID
    assert row["needed"] > 300
    assert row_of(f"copies_of_any_kind<={worst}")["verdict"] == HOLDS
    flagged = {"flagged": 15, "flagged_share": 0.05}
    value = figures_of({**RESULT, **flagged})["copies_of_any_kind"].value
    assert value == pytest.approx(0.04 / 0.89)
    unseen = [{**RESULT["planted"][0], "found": 0.0, "low": 0.0, "copies_at_most": 1.0}]
    told = row_of("copies_of_any_kind<=0.8", planted=unseen)
    assert told["verdict"] == CANNOT_BE_SAID
    assert "copies of the kind “noise 0.2” were found no oftener" in told["sentence"]


def test_the_number_of_images_needed_is_the_smallest_that_shows_it() -> None:
    row = row_of("copies<=0.008")
    needed = row["needed"]
    assert needed > 300

    def bound(number: int) -> float:
        return largest_share(int(0.01 * number), number, 0.005, 1.0)

    assert bound(needed) <= 0.008 < bound(needed - 1)
    assert f"about {needed:,} would show it" in row["sentence"]


def test_without_a_flag_it_takes_three_over_the_limit() -> None:
    clean: dict[str, float] = {"flagged": 0, "flagged_share": 0.0, "held_out_flagged_low": 0.0}
    clean |= {"num_synthetic": 280, "num_synthetic_independent": 280.0}
    needed = row_of("copies<=0.01", copies_at_most=0.0104, **clean)["needed"]
    assert needed == pytest.approx(3 / 0.01, rel=0.02)


def test_a_share_that_no_number_of_images_shows_is_said() -> None:
    told = row_of("copies<=0.001")["sentence"]
    assert "no number of synthetic images would show it" in told


def test_every_score_with_an_interval_may_be_required() -> None:
    assert row_of("membership_auc<=0.55")["verdict"] == HOLDS
    assert row_of("membership_auc<=0.52")["verdict"] == CANNOT_BE_SAID
    assert row_of("coverage>=0.6")["verdict"] == HOLDS
    assert row_of("coverage:held_out>=0.8")["verdict"] == HOLDS
    assert row_of("membership_auc:own<=0.55")["verdict"] == HOLDS
    assert row_of("attacks_succeeded<=0")["verdict"] == HOLDS
    assert row_of("found:noise 0.2>=0.8")["verdict"] == HOLDS
    assert row_of("above_every_held_out<=0")["verdict"] == HOLDS
    told = row_of("membership_tpr<=0.1")
    assert told["verdict"] == CANNOT_BE_SAID
    assert "did not measure it. Did you mean membership_auc?" in told["sentence"]


def test_an_audit_of_before_there_were_attacks_is_judged_by_what_it_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = {key: value for key, value in RESULT.items() if key != "by_distance"}
    (tmp_path / "audit.json").write_text(json.dumps(old))
    rules = "copies<=0.05, coverage>=0.1, attacks_succeeded<=0"
    assert evaluate.main(["gate", str(tmp_path), "--require", rules]) == 4
    printed = capsys.readouterr().out
    assert "copies<=0.05: holds" in printed
    assert "coverage>=0.1: cannot be said: this evaluation did not measure it" in printed
    assert "attacks_succeeded<=0: cannot be said: this evaluation did not measure it" in printed


@pytest.mark.parametrize("key", sorted(set(RESULT) - {"task", "verdict", "by_distance", "seed"}))
@pytest.mark.parametrize("damage", ["missing", "text"])
def test_a_damaged_audit_is_a_sentence(tmp_path: Path, key: str, damage: str) -> None:
    broken = {**RESULT, key: "damaged"}
    if damage == "missing":
        del broken[key]
    (tmp_path / "audit.json").write_text(json.dumps(broken))
    every = ["copies<=0.9", "flagged<=9", "planted_found_share>=0.5", "num_synthetic>=1"]
    every += ["held_out_flagged<=0.9", "smallest_share_shown<=0.9", "like_a_plain_copy<=0"]
    every += ["flagged_share<=0.9", "above_every_held_out<=0", "num_held_out_images>=1"]
    every += ["num_held_out_patients>=1", "num_training_patients>=1", "found:noise 0.2>=0.1"]
    words = ["gate", str(tmp_path), "--require", ", ".join(every)]
    if key in _NOT_READ:
        assert evaluate.main(words) == 0
        return
    with pytest.raises(UserError, match=r"audit.json: .*no rule was judged"):
        evaluate.main(words)


@pytest.mark.parametrize("broken", [{"own": {}}, {"own": 1}, [], {"own": {"membership": None}}])
def test_damaged_attacks_are_a_sentence(tmp_path: Path, broken: object) -> None:
    (tmp_path / "audit.json").write_text(json.dumps({**RESULT, "by_distance": broken}))
    with pytest.raises(UserError, match=r"audit.json: .*no rule was judged"):
        evaluate.main(["gate", str(tmp_path), "--require", "copies<=0.9"])


def test_every_number_of_an_audit_has_a_name_that_rules_know() -> None:
    for name in figures_of(RESULT):
        assert kind_of(name, OF_AUDITS) is not None, name
    planted = {name.removeprefix("found:") for name in OF_AUDITS if name.startswith("found:")}
    assert planted == {*disguises(), GENERATED, "rebuilt from * principal components"}


def test_a_blind_audit_says_nothing_of_copies() -> None:
    row = row_of("copies<=0.5", planted_found_share=0.01, copies_at_most=1.0)
    assert row["verdict"] == CANNOT_BE_SAID
    assert "found no oftener than held-out" in row["sentence"]


@pytest.mark.parametrize(
    ("changed", "status", "kind"),
    [
        ({}, 0, NOTHING_FOUND),
        ({"p_flagged": 0.001}, 3, COPIES),
        ({"like_a_plain_copy": 1}, 3, COPIES),
        ({"p_flagged": 0.03}, 4, NO_ANSWER),
        ({"by_distance": GIVEN_AWAY}, 3, NOTHING_FOUND),
        ({"require": [{"verdict": HOLDS}], "p_flagged": 0.001}, 0, ""),
        ({"require": [{"verdict": DOES_NOT_HOLD}]}, 3, ""),
        ({"require": [{"verdict": CANNOT_BE_SAID}]}, 4, ""),
    ],
)
def test_an_audit_decides_by_its_rules_or_by_its_answer(
    changed: dict[str, Any], status: int, kind: str
) -> None:
    assert exit_status({**RESULT, **changed}) == status


def test_audits_of_checkpoints_are_told_in_their_order() -> None:
    results = {
        "late": {**RESULT, "generator_images_seen": 9000, "verdict": COPIES},
        "early": {**RESULT, "generator_images_seen": 1000},
        "middle": {**RESULT, "generator_images_seen": 5000},
    }
    table = table_of_audits(results)
    assert [row[0].text for row in table.rows] == ["early", "middle", "late"]
    assert table.footnotes == ("The longest trained of which these tests found no copies: middle.",)
    assert table_of_audits({"one": RESULT}).footnotes == ()


@pytest.fixture
def planted(films_root: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A cache, and a set of 5 mirrored copies and 6 fresh films."""
    root = shutil.copytree(films_root, tmp_path / "cache")
    cache = FilmCache.open(root)
    train = cache.indices("train")
    copies = [centre(cache, index)[:, ::-1].copy() for index in train[:5].tolist()]
    fresh = [centre(cache, index) for index in cache.indices("test")[:6].tolist()]
    before = {"left_out": 2, "of": 13, "planted_found_share": 0.9, "audit_sha256": "a" * 64}
    learnt = cache.knowledge(train)
    return root, write_set(tmp_path / "set", copies + fresh, learnt, without_copies=before)


def words(planted: tuple[Path, Path], out: Path, *more: str) -> list[str]:
    root, synthetic = planted
    given = ["audit", "--synthetic", synthetic, "--data.root", root, "--out", out]
    return [*map(str, given), "--num-planted=20", "--device=cpu", *more]


def test_an_audit_is_written_before_it_fails_and_again_judged_without_it(
    planted: tuple[Path, Path],
    tmp_path: Path,
    quick_audit: None,
    unrendered: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, without = tmp_path / "out", tmp_path / "without"
    before = sha256_of(planted[1] / "manifest.json")
    require = "copies<=0.01, num_synthetic>=11"
    more = ["--require", require, "--record", "--drop-copies", str(without)]
    assert evaluate.main(words(planted, out, *more)) == 3
    printed, progress = capsys.readouterr()
    for stage in (
        "training images", "held-out images", "synthetic images", "planted copies",
        "generator that copies", "embeddings", "search for copies", "permutations",
        "attacks and scores", "pictures and pages",
    ):  # fmt: skip
        assert f"{stage}:" in progress or f"{stage} ..." in progress, stage
    assert "Required: 1 of 2 rules not met (exit status 3)" in printed
    assert re.search(r"copies<=0.01: does not hold: 0\.\d+, upper 95 % bound 0\.\d+\.", printed)
    assert "num_synthetic>=11: holds: 11." in printed
    result = read_json(out / "audit.json")
    assert [row["verdict"] for row in result["require"]] == [DOES_NOT_HOLD, HOLDS]
    assert "--require" in result["command"]
    for name in ("report.html", "report.md"):
        page = (out / name).read_text()
        assert "What was required" in page
        assert "does not hold" in page

    made, rest = SyntheticSet.open(planted[1]), SyntheticSet.open(without)
    assert sha256_of(planted[1] / "manifest.json") != before
    assert made.manifest["audit"] == record_of(out)
    assert made.manifest["audit"]["answer"] == COPIES
    assert made.manifest["audit"]["audit_sha256"] == sha256_of(out / "audit.json")
    assert len(made.items) == 11
    flagged = {row["id"] for row in result["images"] if row["flagged"]}
    assert {item.id for item in rest.items} == {item.id for item in made.items} - flagged
    assert rest.manifest["audit"] is None
    assert result["flagged"] == len(flagged)
    assert rest.manifest["without_copies"]["left_out"] == 2 + len(flagged)
    assert f"without {len(flagged)} suspicious ones" in printed
    card = (without / "README.md").read_text()
    assert "**Not audited since**" in card
    assert f"{2 + len(flagged)} of 13 images, which an audit found suspicious" in card
    for item in rest.items:
        assert np.array_equal(rest.image(item), made.image(item))
    assert sorted(path.stem for path in (without / "images").iterdir()) == sorted(
        item.id for item in rest.items
    )
    assert not re.search(r"patient_[0-9a-f]{12}", json.dumps(made.manifest["audit"]))

    # Of the set itself two were left out before.
    assert "were left out of this set" in result["notes"][-1]
    assert "few flags are no evidence" in (out / "report.html").read_text()
    capsys.readouterr()
    assert evaluate.main(["gate", str(out), "--require", "num_synthetic>=11"]) == 0
    assert evaluate.main(["gate", str(out), "--require", "copies<=1 %"]) == 3
    printed = capsys.readouterr().out
    assert "copies<=0.01: does not hold" in printed
    assert "| Audit | Images seen by the generator |" in printed


def test_what_cannot_be_dropped_is_told_before_the_audit(
    planted: tuple[Path, Path], tmp_path: Path
) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match=r"no synthetic set was begun there"):
        evaluate.main(words(planted, tmp_path / "out", "--drop-copies", str(taken)))
    new = str(tmp_path / "new")
    with pytest.raises(UserError, match=r"--num-images 5: --drop-copies needs an audit of all"):
        evaluate.main(words(planted, tmp_path / "out", "--drop-copies", new, "--num-images=5"))
    with pytest.raises(UserError, match=r"'copies' is no rule"):
        evaluate.main(words(planted, tmp_path / "out", "--require=copies"))
    assert not (tmp_path / "out").exists()


def test_an_audit_may_not_lie_in_a_set_a_cache_or_a_run_folder(
    planted: tuple[Path, Path], tmp_path: Path
) -> None:
    root, synthetic = planted
    other = write_set(tmp_path / "other", [np.zeros((8, 8), np.uint8)], Knowledge())
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    for out, sentence in (
        (other, "is a synthetic set, and what an audit shows of patients"),
        (synthetic / "audit", "lies in a synthetic set"),
        (root, "is a prepared cache"),
        (run, "is the run folder of a training"),
    ):
        before = sorted(out.rglob("*"))
        # Before anything is read: the set that is to be audited is not even there.
        with pytest.raises(UserError, match=rf"--out \S+: {sentence}"):
            evaluate.main(words((root, tmp_path / "missing"), out))
        assert sorted(out.rglob("*")) == before


def dropped(tmp_path: Path, flags: list[bool], **changed: Any) -> Path:
    images = [np.full((8, 8), 10 * i, np.uint8) for i in range(3)]
    made = SyntheticSet.open(write_set(tmp_path / "set", images, Knowledge()))
    rows = [{"id": f"made_{i:05d}", "flagged": flag} for i, flag in enumerate(flags)]
    audit = {"synthetic_sha256": made.content_sha256, "images": rows, **FOUND, **changed}
    write_without_copies(made.root, audit, "a" * 64, tmp_path / "new")
    return tmp_path / "new"


def test_label_maps_and_what_lies_beside_an_image_travel_with_it(tmp_path: Path) -> None:
    images = [np.full((8, 8), 10 * i, np.uint8) for i in range(3)]
    root = write_set(tmp_path / "set", images, Knowledge())
    (root / "masks").mkdir()
    for name in ("made_00000", "made_00001"):
        Image.fromarray(images[1]).save(root / f"masks/{name}.png")
        (root / f"images/{name}.json").write_text("{}")
    audit = {
        "synthetic_sha256": SyntheticSet.open(root).content_sha256,
        "images": [{"id": f"made_{i:05d}", "flagged": i == 0} for i in range(3)],
        **FOUND,
    }
    write_without_copies(root, audit, "a" * 64, tmp_path / "new")
    files = sorted(str(p.relative_to(tmp_path / "new")) for p in (tmp_path / "new").glob("*/*"))
    assert files == [
        "images/made_00001.json", "images/made_00001.png", "images/made_00002.png",
        "masks/made_00001.png",
    ]  # fmt: skip


def test_sets_that_cannot_be_dropped_from(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no image lies above the threshold"):
        dropped(tmp_path / "a", [False] * 3)
    with pytest.raises(UserError, match="every image lies above the threshold"):
        dropped(tmp_path / "b", [True] * 3)
    with pytest.raises(UserError, match="looked at 2 of 3 images"):
        dropped(tmp_path / "c", [True, False])
    with pytest.raises(UserError, match="is another set than the audited one"):
        dropped(tmp_path / "d", [True, False, False], synthetic_sha256="b" * 64)


def test_the_same_again_goes_on_and_another_is_refused(tmp_path: Path) -> None:
    first = dropped(tmp_path, [True, False, False])
    audit = {
        "synthetic_sha256": SyntheticSet.open(tmp_path / "set").content_sha256,
        "images": [{"id": f"made_{i:05d}", "flagged": i == 1} for i in range(3)],
        **FOUND,
    }
    with pytest.raises(UserError, match="holds another synthetic set"):
        write_without_copies(tmp_path / "set", audit, "a" * 64, first)


@pytest.mark.parametrize("chance", [0.5, 0.9, 0.99])
def test_missed_copies_are_bounded_in_19_of_20_audits(chance: float) -> None:
    random = np.random.default_rng(0)
    for copies in (1, 5, 40):
        found = random.binomial(copies, chance, 400)
        bounds = {n: most_missed(n, chance) for n in set(found.tolist())}
        held = [copies - n <= bounds[n] for n in found.tolist()]
        assert np.mean(held) >= 0.93


def test_missed_copies_by_hand() -> None:
    # With 1 - 0.995 ** 22 = 0.10 one of 22 is missed, and two of 23 in 6 of 1,000 audits.
    assert most_missed(21, 0.995) == 1
    assert most_missed(0, 0.99) == 0
    assert most_missed(0, 0.5) == 4  # 0.5 ** 4 > 0.05 > 0.5 ** 5


def test_few_flags_after_leaving_out_lower_no_bound() -> None:
    rows = [{"low": low, "copies_at_most": 0.04} for low in (0.999, 0.2, 0.0)]
    result = {"copies_at_most": 0.03, "num_synthetic": 200, "planted": rows}
    assert after_leaving_out(result, {}) == ({"copies_at_most": 0.03, "planted": rows}, [])
    without = {"left_out": 100, "of": 300, "planted_found_share": 0.5}
    bounds, [note] = after_leaving_out(result, {"without_copies": without})
    assert bounds["copies_at_most"] > 0.5
    assert [row["copies_at_most"] for row in bounds["planted"]] == [0.04, 1.0, 1.0]
    assert "flagged 100 of 300 images" in note
    assert "few flags are no evidence" in note
    sharp = {"left_out": 2, "of": 202, "planted_found_share": 0.999}
    bounds, _ = after_leaving_out(result, {"without_copies": sharp})
    assert bounds["copies_at_most"] == 0.03
    # Two of a kind of which one in five is found leave up to 24 behind.
    assert bounds["planted"][1]["copies_at_most"] == most_missed(2, 0.2) / 200


def test_a_folder_without_an_audit_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no evaluation.json and no audit.json"):
        evaluate.main(["gate", str(tmp_path), "--require", "copies<=0.01"])
    (tmp_path / "audit.json").write_text("{}")
    with pytest.raises(UserError, match=r"audit.json: is not what evaluate.py audit writes"):
        evaluate.main(["gate", str(tmp_path), "--require", "copies<=0.01"])
    missing = tmp_path / "missing"
    with pytest.raises(UserError, match=r"missing: there is no such folder\."):
        evaluate.main(["gate", str(missing)])


def test_a_gate_without_rules_names_the_numbers_of_an_audit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "audit.json").write_text(json.dumps(RESULT))
    assert evaluate.main(["gate", str(tmp_path)]) == 0
    named = capsys.readouterr().out.split("numbers for --require:\n")[1]
    assert {"copies", "found:noise 0.2"} <= {line.strip() for line in named.splitlines()}
