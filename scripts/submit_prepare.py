"""Prepare films as an array job: every task makes one part, a last one joins them.

python scripts/submit_prepare.py --parts 16 --partition cpu -- \
    chest_xray --source FOLDER_OF_DICOM --out data/cxr --image-size 512 --workers 8

Parts are kept in OUT.parts, so a task that failed is given again by itself (its command stands in
the log folder) and the joining after it. `--cluster local` runs the tasks on this machine.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def commands(words: list[str], parts: int) -> tuple[list[list[str]], list[str]]:
    """The command of every part, and that which joins them.

    Args:
        words: Of prepare.py, with --out and without --shard.
        parts: Tasks of the array.
    """
    if "--out" not in words or "--shard" in words:
        raise SystemExit("After --, give a prepare.py command with --out DIR, without --shard.")
    index = words.index("--out") + 1
    out = words[index]
    folders = [f"{out}.parts/{number:03d}" for number in range(1, parts + 1)]
    prepare = [sys.executable, str(ROOT / "prepare.py")]
    each = [
        [*prepare, *words[:index], folder, *words[index + 1 :], "--shard", f"{number}/{parts}"]
        for number, folder in enumerate(folders, start=1)
    ]
    return each, [*prepare, "merge", *folders, "--out", out]


def main() -> None:
    """Submit the array and the job that waits for it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", type=int, default=8, help="Tasks of the array.")
    parser.add_argument("--partition", default=None, help="SLURM partition.")
    parser.add_argument("--cpus", type=int, default=8, help="Cores of a task; match --workers.")
    parser.add_argument("--memory-gb", type=int, default=8, help="Memory of a task.")
    parser.add_argument("--hours", type=float, default=12, help="Longest time of a task.")
    parser.add_argument("--logs", default="logs/prepare", help="Folder of the jobs' output.")
    parser.add_argument("--cluster", choices=("slurm", "local"), default="slurm")
    parser.add_argument("words", nargs="+", help="-- and a prepare.py command.")
    given = parser.parse_args()
    each, join = commands(given.words, given.parts)

    import submitit
    from submitit.helpers import CommandFunction

    executor = submitit.AutoExecutor(folder=given.logs, cluster=given.cluster)
    settings: dict[str, Any] = {
        "name": "prepare",
        "cpus_per_task": given.cpus,
        "mem_gb": given.memory_gb,
        "timeout_min": int(given.hours * 60),
    }
    if given.partition:
        settings["slurm_partition"] = given.partition
    executor.update_parameters(**settings)
    with executor.batch():
        jobs = [executor.submit(CommandFunction(command)) for command in each]
    if given.cluster == "local":
        for job in jobs:
            print(job.result())
        print(executor.submit(CommandFunction(join)).result())
        return
    array = jobs[0].job_id.split("_")[0]
    executor.update_parameters(slurm_additional_parameters={"dependency": f"afterok:{array}"})
    last = executor.submit(CommandFunction(join))
    print(f"{given.parts} tasks in job {array}; job {last.job_id} joins them into the cache.")
    print(f"Output: {given.logs}")


if __name__ == "__main__":
    main()
