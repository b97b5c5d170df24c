"""How much of this project's code a call enters: files, functions and lines, by room.

    python benchmarks/way_of_a_datum.py [CHECKOUT] [--files]

Three calls on small drawn data, each in a process of its own under `sys.setprofile`:
`prepare.py image_folder`, `evaluate.py` on a classifier, and one cell of a study (training and
evaluation of a segmenter included). A function counts when it is called, a file when one of its
functions is; what runs once at import does not count. Give the folder of another checkout to count
its code with the same calls.
"""

import argparse
import inspect
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

OWN = Path(__file__).resolve().parents[1]
CALLS = ("prepare.py image_folder", "evaluate.py, a classifier", "study.py run, one cell")
Functions = dict[tuple[str, str, int], int]  # file, name and first line -> lines

STUDY = """
name: way
title: One cell
question: Which way does a datum go?
seeds: [0]
metric: {name: iou_mean, title: IoU, percent: true, higher_is_better: true}
arguments: [--data.images_per_epoch, 8, --trainer.max_epochs, 1, --data.batch_size, 4]
scenarios: [{id: 1, name: real only}, {id: 2, name: real again}]
models:
  - name: unet_light
    title: U-Net
    config: configs/kits19/unet_light.yaml
    arguments: [--model.network.width, 8, --model.network.depth, 2]
baseline_scenario: 1
"""
CLASSIFIER = (
    "fit --config configs/chest_xray/vgg16.yaml --model.network.width 4 "
    "--model.network.hidden 8 --data.batch_size 4 --trainer.max_epochs 1 "
    "--samples_every_epochs 0 --wandb disabled"
)


def entered(call: Callable[[], Any], project: Path) -> Functions:
    """Functions of the project that a call enters, with how many lines each has."""
    functions: Functions = {}
    seen: set[CodeType] = set()

    def note(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event != "call" or code in seen:
            return
        seen.add(code)
        # Bodies of modules and classes are no functions; <lambda>, <listcomp> are part of one.
        if not code.co_flags & inspect.CO_OPTIMIZED or code.co_name.startswith("<"):
            return
        file = Path(code.co_filename)
        if file.is_relative_to(project) and ".venv" not in file.parts:
            last = max(line for _, _, line in code.co_lines() if line)
            key = str(file.relative_to(project)), code.co_name, code.co_firstlineno
            functions[key] = last - code.co_firstlineno + 1

    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(None)
    return functions


def profile(number: int, data: Path) -> Functions:
    """One of `CALLS`, in the checkout that is the working folder."""
    import evaluate
    import prepare
    import study
    import train

    if number == 0:
        words = f"image_folder --source {data}/films/source --patient-from file --image-size 32"
        words += f" --labels none --out {data}/again"
        return entered(lambda: prepare.main(words.split()), Path.cwd())
    if number == 1:
        folder = data / "classifier"
        words = f"{CLASSIFIER} --data.root {data}/cache --run_folder {folder}"
        checkpoint = train.fit(words.split()).last_checkpoint
        words = f"--checkpoint {checkpoint} --out {data}/scores --device cpu"
        return entered(lambda: evaluate.main(words.split()), Path.cwd())
    (data / "way.yaml").write_text(STUDY)
    words = f"run {data}/way.yaml --data.root {data}/slices --out {data}/study --workers 0"
    words += " --only 1__unet_light__seed0"
    return entered(lambda: study.main(words.split()), Path.cwd())


def draw(data: Path) -> None:
    """Films as pictures, and caches of drawn films and slices."""
    import numpy as np
    from PIL import Image

    import prepare

    (data / "films/source").mkdir(parents=True)
    random = np.random.default_rng(0)
    for number in range(6):
        film = random.integers(0, 255, (48, 48), dtype=np.uint8)
        Image.fromarray(film).save(data / f"films/source/{number}.png")
    prepare.main(f"phantom_cxr --out {data}/cache --num-patients 20 --image-size 32".split())
    words = f"phantom_ct --out {data}/slices --num-patients 9 --image-size 32 --num-slices 4"
    prepare.main(words.split())


def count(checkout: Path, number: int) -> Functions:
    """Run one call in a checkout, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, str(Path(__file__).resolve()), "--call", str(number), folder]
        settings = {**os.environ, "PYTHONPATH": str(checkout), "WANDB_MODE": "offline"}
        done = subprocess.run(words, cwd=checkout, env=settings, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{CALLS[number]} failed in {checkout}:\n{done.stderr[-3000:]}")
        found = json.loads((Path(folder) / "functions.json").read_text())
    return {(file, name, line): lines for file, name, line, lines in found}


def room_of(file: str) -> str:
    """The folder of a file; a room of studies/ stands for itself."""
    parts = Path(file).parts
    return "/".join(parts[:2]) if parts[0] == "studies" and len(parts) > 2 else parts[0]


def main() -> None:
    """Count, and print a table for every call."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkout", nargs="?", type=Path, default=OWN)
    parser.add_argument("--files", action="store_true", help="name every file too")
    parser.add_argument("--call", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.call is not None:
        data = given.checkout
        draw(data)
        found = [[*key, lines] for key, lines in profile(given.call, data).items()]
        (data / "functions.json").write_text(json.dumps(found))
        return
    checkout = given.checkout.resolve()
    for number, call in enumerate(CALLS):
        functions = count(checkout, number)
        files = Counter(file for file, _, _ in functions)
        print(f"\n{call}: {len(files)} files, {len(functions)} functions, ", end="")
        print(f"{sum(functions.values()):,} lines of these functions")
        rooms = Counter(room_of(file) for file in files)
        for room, number_of_files in sorted(rooms.items()):
            own = {key: n for key, n in functions.items() if room_of(key[0]) == room}
            print(f"  {room:20} {number_of_files:3} files {len(own):4} functions", end="")
            print(f" {sum(own.values()):6,} lines")
        if given.files:
            print("\n".join(f"    {file}: {number}" for file, number in sorted(files.items())))


if __name__ == "__main__":
    main()
