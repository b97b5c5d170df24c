"""How long a person waits for an answer of the verbs that needs no work.

    python benchmarks/start_up.py [CHECKOUT] [--repeats 5] [--out start_up.json]

Medians of wall time for `--help`, a misspelt flag, a misspelt subcommand, a configuration file that
is not there, and one with a misspelt key, beside `python -c "import lightning"` in the same run, of
which each figure is also given as a multiple. Give the folder of another checkout to time its code.
"""

import argparse
import json
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


def main() -> None:
    """Time every case and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkout", nargs="?", type=Path, default=OWN)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, help="write the seconds as JSON too")
    given = parser.parse_args()
    checkout = given.checkout.resolve()
    lightning = seconds(["-c", "import lightning"], checkout, given.repeats)
    print(f"{'import lightning':38} {lightning:5.2f} s  1.00")
    found = {"import lightning": lightning}
    with tempfile.TemporaryDirectory() as folder:
        for name, words in command_lines(Path(folder)).items():
            found[name] = seconds(words, checkout, given.repeats)
            print(f"{name:38} {found[name]:5.2f} s  {found[name] / lightning:.2f}", flush=True)
    if given.out:
        given.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
