"""How long a person waits for an answer of the verbs that needs no work, and for a first step.

    python benchmarks/start_up.py [CHECKOUT] [--repeats 5] [--only "first step"] [--out FILE.json]

Medians of wall time for `--help`, a misspelt flag, a misspelt subcommand, a configuration file that
is not there, and one with a misspelt key, beside `python -c "import lightning"` in the same run, of
which each figure is also given as a multiple. Then, after one start that warms up, the time from
the command of a training until its first step is done, by the clock and by the processor (beside
that of importing Lightning, since a busy machine takes more of both), on drawn films and slices.
Give the folder of another checkout to time its code.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

OWN = Path(__file__).resolve().parents[1]
UNET = "configs/kits19/unet_light.yaml"
STUDY = "configs/studies/quickstart.yaml"


def command_lines(folder: Path) -> dict[str, list[str]]:
    """Every case by name; `folder` gets the configurations with a misspelt key."""
    (folder / "flags.yaml").write_text("sede: 1\n")
    train = (OWN / UNET).read_text().replace("batch_size:", "batch_sise:")
    (folder / "train.yaml").write_text(train)
    study = (OWN / STUDY).read_text().replace("models:", "modles:")
    (folder / "study.yaml").write_text(study)
    run = "--data.root nowhere --out nowhere"
    return {
        name: words.split()
        for name, words in {
            "prepare.py, help": "prepare.py --help",
            "prepare.py, flag": "prepare.py phantom_ct --out x --num-patient 3",
            "prepare.py, subcommand": "prepare.py phantom_tc --out x",
            "prepare.py, no such configuration": "prepare.py phantom_ct --config nowhere.yaml",
            "prepare.py, key": f"prepare.py phantom_ct --config {folder}/flags.yaml",
            "train.py, help": "train.py --help",
            "train.py, help of fit": "train.py fit --help",
            "train.py, flag": f"train.py fit --config {UNET} --run-foldr x",
            "train.py, setting": f"train.py fit --config {UNET} --data.batch_sise 2",
            "train.py, subcommand": f"train.py fti --config {UNET}",
            "train.py, no such configuration": "train.py fit --config nowhere.yaml",
            "train.py, key": f"train.py fit --config {folder}/train.yaml",
            "generate.py, help": "generate.py --help",
            "generate.py, flag": "generate.py --checkpoint x --num-imges 3",
            "generate.py, no such configuration": "generate.py --config nowhere.yaml",
            "generate.py, key": f"generate.py --config {folder}/flags.yaml",
            "evaluate.py, help": "evaluate.py --help",
            "evaluate.py images, help": "evaluate.py images --help",
            "evaluate.py, flag": "evaluate.py --checkpoint x --out y --splitt test",
            "evaluate.py, subcommand": "evaluate.py imagse --out y",
            "evaluate.py, no such configuration": "evaluate.py --config nowhere.yaml",
            "evaluate.py, key": f"evaluate.py --config {folder}/flags.yaml",
            "study.py, help": "study.py --help",
            "study.py, flag": f"study.py run {STUDY} {run} --worker 2",
            "study.py, subcommand": "study.py rnu",
            "study.py, no such study": f"study.py run nowhere.yaml {run}",
            "study.py, key": f"study.py run {folder}/study.yaml {run}",
        }.items()
    }


def seconds(words: list[str], checkout: Path, repeats: int) -> float:
    """Median wall time of a command that is to end with a sentence, or with its help."""
    times = []
    status = 0 if words[-1] == "--help" or words[0] == "-c" else 2
    for _ in range(repeats):
        started = time.perf_counter()
        done = subprocess.run([sys.executable, *words], cwd=checkout, capture_output=True)
        times.append(time.perf_counter() - started)
        if done.returncode != status or b"Traceback" in done.stderr:
            print(f"  {' '.join(words)}: ended with status {done.returncode}, not {status}")
    return statistics.median(times)


FILMS = "train.py fit --config configs/chest_xray/quickstart.yaml --data.root {cache}/films"
SLICES = f"train.py fit --config {UNET} --data.root {{cache}}/slices"
FIRST_STEPS = {
    "GAN of films, first step": f"{FILMS} --wandb disabled",
    "GAN of films with W&B offline, first step": f"{FILMS} --wandb offline",
    "U-Net of slices, first step": f"{SLICES} --data.batch_size 8 --wandb disabled",
}


def prepare_first_steps(cache: Path, checkout: Path) -> None:
    """Draw the films and slices, 32 and 64 px, that the trainings start with."""
    for words in (
        f"phantom_cxr --out {cache}/films --num-patients 40 --image-size 32",
        f"phantom_ct --out {cache}/slices --num-patients 12 --image-size 64",
    ):
        command = [sys.executable, "prepare.py", *words.split()]
        subprocess.run(command, cwd=checkout, capture_output=True, check=True)


def first_step(words: str, cache: Path, checkout: Path, repeats: int) -> tuple[float, float]:
    """Median seconds by the clock and by the processor until a training's first step is done."""
    clock, processor = [], []
    environment = {**os.environ, "PYTHONPATH": str(OWN / "benchmarks")}
    told = cache / "first_step.json"
    for number in range(repeats + 1):  # the first one warms up
        told.unlink(missing_ok=True)
        more = [
            f"--run_folder={cache}/run_{time.time_ns()}",
            "--trainer.accelerator=cpu",
            "--trainer.callbacks+=first_step.EndsAfterTheFirstStep",
            f"--trainer.callbacks.path={told}",
        ]
        command = [sys.executable, *words.format(cache=cache).split(), *more]
        began = time.time()
        done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True)
        if not told.is_file():
            raise SystemExit(f"{' '.join(command)}: did no step.\n{done.stderr.decode()[-2000:]}")
        found = json.loads(told.read_text(encoding="utf-8"))
        if number:
            clock.append(found["time"] - began)
            processor.append(found["processor"])
    return statistics.median(clock), statistics.median(processor)


def _processor_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Time every case and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkout", nargs="?", type=Path, default=OWN)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", default="", help="only cases whose names hold this")
    parser.add_argument("--out", type=Path, help="write the seconds as JSON too")
    given = parser.parse_args()
    checkout = given.checkout.resolve()
    lightning = seconds(["-c", "import lightning"], checkout, given.repeats)
    print(f"{'import lightning':42} {lightning:5.2f} s  1.00")
    found = {"import lightning": lightning}
    with tempfile.TemporaryDirectory() as folder:
        for name, command in command_lines(Path(folder)).items():
            if given.only in name:
                found[name] = seconds(command, checkout, given.repeats)
                print(f"{name:42} {found[name]:5.2f} s  {found[name] / lightning:.2f}", flush=True)
        starts = {name: words for name, words in FIRST_STEPS.items() if given.only in name}
        if starts:
            prepare_first_steps(Path(folder), checkout)
            before = _processor_of_children()
            seconds(["-c", "import lightning"], checkout, 1)
            importing = found["import lightning, processor"] = _processor_of_children() - before
        for name, words in starts.items():
            found[name], processor = first_step(words, Path(folder), checkout, given.repeats)
            found[f"{name}, processor"] = processor
            print(
                f"{name:42} {found[name]:5.2f} s  {found[name] / lightning:.2f}  "
                f"processor {processor:.2f} s, {processor / importing:.2f} of importing Lightning",
                flush=True,
            )
    if given.out:
        given.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
