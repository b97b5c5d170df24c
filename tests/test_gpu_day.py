"""benchmarks/gpu_day.py shares out its time, keeps every row, and says what it did not measure."""

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import gpu_speed
from benchmarks.gan_step import dcgan
from benchmarks.gpu_day import (
    PARTS,
    allowance,
    gpu_test_files,
    outcomes_of_tests,
    read_curve,
    read_flags,
)
from benchmarks.gpu_page import page, table
from benchmarks.gpu_rows import Task, measure_all, read_rows

CPU = torch.device("cpu")


def test_time_is_shared_and_what_one_leaves_goes_to_the_others() -> None:
    limits = [allowance(PARTS[place:], 480 - 10 * place) for place in range(len(PARTS))]
    assert limits[0] == pytest.approx(480 * 75 / 480)
    assert limits[-1] == 480 - 10 * (len(PARTS) - 1)  # the last one takes what is left
    assert limits[1] == pytest.approx(470 * 210 / 405)
    assert allowance(PARTS, -3) == 0


def test_what_matters_most_is_measured_first() -> None:
    names = tuple(gpu_speed.methods(512))
    rows = gpu_speed.order((256, 512), names)
    assert len(rows) == len(set(rows)) == 2 * len(names) + 3 * 3 + 3 * 2 + 3
    first = {(name, 256, variant) for name in names for variant in ("bf16", "tf32")}
    assert set(rows[: len(first)]) == first
    assert {name for name, *_ in rows[:6]} == set(gpu_speed.IMPORTANT)
    assert {name for name, size, _ in rows if size == 512} == set(gpu_speed.IMPORTANT)
    assert {variant for *_, variant in rows[-3:]} == {gpu_speed.COMPILED}


def test_the_first_row_of_a_method_may_take_longer() -> None:
    sizes = gpu_speed.Sizes((256, 512), row_s=10, compile_s=40)
    timed = [task for task in gpu_speed.tasks(sizes, CPU) if "variant" in task.row]
    of_one = [task for task in timed if task.row["method"] == "stylegan2"]
    assert [(task.row["size"], task.row["variant"], task.seconds) for task in of_one] == [
        (256, "bf16", 30), (256, "tf32", 10), (256, "fp32", 10), (512, "bf16", 30),
        (512, "tf32", 10), (256, "fp16", 10), (256, "bf16+channels_last", 10),
        (256, "bf16+compiled", 40),
    ]  # fmt: skip
    counted = [(task.row["method"], task.row["size"]) for task in gpu_speed.count_tasks(sizes)]
    assert set(counted) == {(task.row["method"], task.row["size"]) for task in timed}


def tasks(seen: list[str]) -> Iterator[Task]:
    def fail() -> dict[str, Any]:
        raise ValueError("no such kernel")

    def measure(name: str) -> dict[str, Any]:
        seen.append(name)
        return {"value": 2.5, "none": float("nan")}

    yield Task({"name": "bad"}, fail, 5)
    yield Task({"name": "slow"}, lambda: time.sleep(5) or {}, 0.05)
    yield Task({"name": "good"}, partial(measure, "good"), 5)


def test_a_row_that_fails_or_is_slow_costs_itself_alone(tmp_path: Path) -> None:
    path, seen = tmp_path / "rows.jsonl", []
    measure_all("speed", tasks(seen), path)
    ended = {
        row["name"]: row for row in read_rows(path) if row["state"] not in ("begun", "planned")
    }
    assert ended["bad"]["reason"] == "ValueError: no such kernel"
    assert ended["slow"]["reason"] == "took longer than 0.05 s"
    assert (ended["good"]["value"], ended["good"]["none"]) == (2.5, "nan")
    with open(path, "a") as stream:
        stream.write('{"part": "speed", "na')  # ended while it wrote
    measure_all("speed", tasks(seen), path)  # goes on behind what was tried: nothing is left
    assert seen == ["good"]


def test_lazy_penalties_count_in_proportion() -> None:
    module: Any = gpu_speed.methods(8)["stylegan2"](16)  # R1 at every 16th step, path at every 4th
    phases = gpu_speed._phases(module)
    assert phases == [(0, 1 / 16), (1, 12 / 16), (4, 3 / 16)]


def test_a_tiny_row_is_measured() -> None:
    sizes = gpu_speed.Sizes((32,), 8, 4, 1)
    make = partial(dcgan, width=8)
    for variant in ("bf16+channels_last", "fp16"):
        row = gpu_speed._timed(make, 32, variant, sizes, CPU)
        assert row["images_per_second"] == pytest.approx(4000 / row["ms_per_step"])


def test_a_mean_step_weighs_each_kind_by_how_often_it_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """R1 at every 16th step, path length at every 4th: the clock is a count of what is done."""
    clock = [0.0]
    taken: list[int] = []

    class Timed:
        module: Any = gpu_speed.methods(8)["stylegan2"](16)

        def seconds(self, batch: Any, steps: int) -> float:
            return 0.0

        def step(self, batch: Any) -> None:
            taken.append(self.module.steps_done)
            clock[0] += {0: 16.0, 1: 1.0, 4: 4.0}[self.module.steps_done]

    monkeypatch.setattr(gpu_speed.time, "perf_counter", lambda: clock[0])
    stand_in: Any = Timed()
    assert gpu_speed._mean_seconds(stand_in, {}, 4) == 16 / 16 + 12 / 16 + 4 * 3 / 16
    assert taken == [0, 0, 1, 1, 1, 1, 4, 4]


def result(**more: Any) -> dict[str, Any]:
    return {
        "gpu": "NVIDIA H100", "memory_mb": 81559.0, "cuda": "13.0", "cudnn": 91900, "driver": "580",
        "torch": "2.11.0", "python": "3.12.3", "cores": 16, "machine": "x86_64",
        "command": "python benchmarks/gpu_day.py --out out", "not_asked_for": ["training"],
        "curve": [], "rows": [], "parts": {}, **more,
    }  # fmt: skip


def timed(variant: str, ms: float) -> dict[str, Any]:
    return {
        "part": "speed", "key": variant, "state": "measured", "method": "dcgan", "size": 256,
        "variant": variant, "batch": 16, "ms_per_step": ms, "spread_percent": 1.0,
        "images_per_second": 16000 / ms, "peak_memory_mb": 900.0,
    }  # fmt: skip


def test_the_page_has_a_line_for_each_row_and_for_what_was_not_measured() -> None:
    rows = [
        {"part": "speed", "state": "planned", "rows": [{}] * 5},
        {"part": "speed", "key": "p", "state": "measured", "ceiling": "matrix product, bf16",
         "side": 8192, "tflops": 800.0},
        timed("fp32", 40.0), timed("bf16", 10.0),
        {"part": "count", "key": "k", "state": "measured", "method": "dcgan", "size": 256,
         "gflop_per_image": 62.5, "expected_mb_mixed": 880.0, "expected_mb_float32": 990.0},
        {"part": "speed", "key": "c", "state": "not possible", "method": "dcgan", "size": 256,
         "variant": "bf16+compiled", "batch": 16, "reason": "took longer than 40 s"},
        {"part": "tests", "test": "tests/gpu/a.py::b", "outcome": "failed", "reason": "assert 0"},
    ]  # fmt: skip
    told = page(result(rows=rows, parts={"speed": {"how": "the time was up", "seconds": 220.0,
                                                   "limit": 220.0}}))  # fmt: skip
    assert "| dcgan | bf16 | 1,600 | 4.00 | 10 | 1.0 % | 100 | 12 % | 900 | 880 |" in told
    assert "| dcgan | bf16+compiled | not possible: took longer than 40 s | - " in told
    assert "Of 1 pairs of variants of a method at a size, 1 are further apart" in told
    assert "- speed: 1 of 5 rows were not reached." in told
    assert "- speed: the time was up (220 s)." in told
    assert "- training: not asked for" in told
    assert "| tests/gpu/a.py::b | assert 0 |" in told


def test_without_a_gpu_the_page_says_so() -> None:
    told = page(result(gpu=None))
    assert told.startswith("# No GPU")
    assert "nothing here says anything about one" in told


def test_numbers_stand_to_the_right() -> None:
    assert table(("a", "b"), [("x|y", 1234.5)]) == "| a | b |\n| --- | ---: |\n| x/y | 1,234 |"
    assert table(("a",), []) == ""


def test_outcomes_are_read_off_what_pytest_prints() -> None:
    said = (
        "tests/gpu/a.py::one[16-mixed] PASSED\n"
        "tests/gpu/a.py::noisy /opt/torch/functions.py:2082: UserWarning: cannot trace\n"
        "ERROR is no word of pytest's here\n"
        "compile pix2pix 256 True reason AssertionError, took_s 32.08\nPASSED\n"
        "tests/gpu/a.py::two FAILED\n"
        "tests/gpu/a.py::left_out SKIPPED (no CUDA device)\n"
        "tests/gpu/a.py::ended"
        "\n=== summary ===\n"
        "1.25s call     tests/gpu/a.py::one[16-mixed]\n"
        "FAILED tests/gpu/a.py::two - assert 1 == 2\n"
    )
    found = outcomes_of_tests(said)
    assert found[0] == {
        "test": "tests/gpu/a.py::one[16-mixed]", "outcome": "passed", "seconds": 1.25
    }  # fmt: skip
    assert found[2]["reason"] == "assert 1 == 2"
    assert [row["outcome"] for row in found] == ["passed", "passed", "failed", "skipped"]


def test_the_curve_of_a_training_has_a_line_for_each_epoch(tmp_path: Path) -> None:
    rows = [
        "images_seen,epoch,name,value",
        "32,0,train/loss,1.5",
        "32,0,val/frechet_random_vgg,4.5",
    ]
    rows += ["32,0,val/kernel_random_vgg,0.5", "64,1,val/frechet_random_vgg,2.5"]
    (tmp_path / "metrics.csv").write_text("\n".join(rows))
    curve = read_curve(tmp_path / "metrics.csv")
    assert [point["images_seen"] for point in curve] == [32, 64]
    told = page(result(curve=curve))
    assert "| images seen | frechet_random_vgg | kernel_random_vgg |" in told
    assert "| 32 | 4.5 | 0.5 |" in told
    assert "| 64 | 2.5 | - |" in told
    assert read_curve(tmp_path / "none.csv") == []


def test_all_files_with_tests_for_a_gpu_are_found() -> None:
    files = gpu_test_files()
    assert "tests/lightning_modules/test_training_module.py" in files
    assert "tests/gpu/test_training.py" in files
    assert "tests/test_gpu_day.py" not in files


def test_flags_that_cannot_be_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, told in (
        (["--parts", "sped"], "--parts sped: there are tests, speed"),
        (["--films", str(tmp_path)], "is no cache of prepare.py"),
        (["--weights", str(tmp_path / "none.pth")], "no such file"),
    ):
        with pytest.raises(SystemExit):
            read_flags(["--out", str(tmp_path), *words])
        assert told in capsys.readouterr().err
