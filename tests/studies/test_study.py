"""The fifth verb at the prompt: flags, refusals, exit status, last line."""

import subprocess
import sys
from pathlib import Path

import fake_verbs
import pytest
import yaml

import study
from provenance import UserError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "control").mkdir()
    monkeypatch.setenv("UNDERSTUDY_FAKE", str(tmp_path / "control"))
    monkeypatch.setattr(study, "load_verbs", fake_verbs.load_verbs)
    fake_verbs.write_cache(tmp_path / "data")
    plan = yaml.safe_load((ROOT / "configs/studies/kits19_scenarios.yaml").read_text())
    plan |= {"seeds": [0], "models": plan["models"][:1], "paper": None}
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(plan))
    return tmp_path


def words(home: Path, *more: str) -> list[str]:
    return [
        *("run", str(home / "plan.yaml"), "--data.root", str(home / "data")),
        *("--out", str(home / "out"), "--workers", "0", *more),
    ]


def test_run_ends_with_the_report_and_report_writes_it_again(
    home: Path, capsys: pytest.CaptureFixture
) -> None:
    assert study.main(words(home)) == 0
    last = capsys.readouterr().out.strip().splitlines()[-1]
    assert last == f"Report: {home}/out/report.html (also report.md, report.json)"
    (home / "out/report.html").unlink()
    assert study.main(["report", str(home / "out")]) == 0
    assert (home / "out/report.html").is_file()


def test_a_failed_cell_gives_status_1_and_is_listed(
    home: Path, capsys: pytest.CaptureFixture
) -> None:
    fake_verbs.order("2__unet_light__seed0", "fail")
    assert study.main(words(home, "--only", "[12]__*")) == 1
    printed = capsys.readouterr().out
    assert "1 failed; the same command tries them again:" in printed
    assert "2__unet_light__seed0: ValueError: the loss is not finite" in printed
    assert printed.strip().splitlines()[-1].startswith("Report: ")


def test_flags_may_come_from_a_file(home: Path) -> None:
    config = home / "flags.yaml"
    config.write_text(
        yaml.safe_dump({"data": {"root": str(home / "data")}, "workers": 0, "only": "1__*"})
    )
    given = ["run", "--config", str(config), str(home / "plan.yaml"), "--out", str(home / "out")]
    assert study.main(given) == 0
    assert len(list((home / "out/cells").glob("*.json"))) == 1


def test_other_data_is_a_sentence(home: Path) -> None:
    with pytest.raises(UserError, match="nowhere: there is no such folder"):
        study.main(["run", str(home / "plan.yaml"), "--data.root", "nowhere", "--out", "x"])


def test_a_misspelt_key_is_answered_without_torch(home: Path) -> None:
    plan = yaml.safe_load((home / "plan.yaml").read_text())
    plan["modles"] = plan.pop("models")
    (home / "plan.yaml").write_text(yaml.safe_dump(plan))
    script = f"import study; study.main({words(home)!r})"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", script], cwd=ROOT, capture_output=True, text=True
    )
    assert "modles: unknown key. Did you mean models?" in done.stderr
    assert not any(line.endswith((" torch", " lightning")) for line in done.stderr.splitlines())


def test_help_describes_every_flag_and_loads_quickly() -> None:
    script = "import sys, study; study.main(['run', '--help'])"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", script], cwd=ROOT, capture_output=True, text=True
    )
    for flag in ("--data.root", "--out", "--workers", "--labels", "--only", "--shard", "--config"):
        assert flag in done.stdout
    assert "tried again" in " ".join(done.stdout.split())
    # The study's own process starts workers; it must not need what they need.
    assert not any(line.endswith((" torch", " lightning")) for line in done.stderr.splitlines())


def test_a_placebo_is_one_word(home: Path) -> None:
    assert study.main(words(home, "--only", "placebo__*", "--placebo")) == 0
    assert (home / "out/cells/placebo__unet_light__seed10000.json").is_file()
