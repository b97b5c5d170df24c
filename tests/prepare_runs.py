"""A small source in KiTS19's layout, and prepare.py run on it inside this process."""

import os
from pathlib import Path

import nibabel as nib
import numpy as np

import prepare
from command_line import run_verb

# Exit status where a cache was made without something, which is listed.
LEFT_OUT = 3
AFFINE = np.array([[0, 0, -0.7, 0], [0, -0.8, 0, 0], [-3.0, 0, 0, 0], [0, 0, 0, 1]])


def make_source(root, num=12, shape=(4, 16, 16), num_classes=3):
    for number in range(num):
        rng = np.random.default_rng(number)
        folder = root / f"case_{number:05d}"
        folder.mkdir(parents=True)
        for name, low, high in (("imaging", -1000, 1000), ("segmentation", 0, num_classes)):
            array = rng.integers(low, high, shape).astype(np.int16)
            nib.save(nib.Nifti1Image(array, AFFINE), folder / f"{name}.nii.gz")
    return root


def run(*words):
    return run_verb("prepare.py", lambda: prepare.main([str(word) for word in words]))


def kits19(source, out, *more, keep=True):
    """The names of `make_source` are nobody's, so they are kept where nothing else is said."""
    kept = ("--keep-patient-names",) if keep else ()
    return run("kits19", "--source", source, "--out", out, *kept, *more)


def contents(out):
    return {str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}


def assert_same_bytes_wherever_stopped(prepare, source, folder, monkeypatch, num_renames):
    """Stop `prepare` at each of its first renames, with a half-written file, and go on."""
    flags = ("--split-all-to", "train")
    assert prepare(source, folder / "whole", *flags) == 0
    rename = os.replace
    for number in range(num_renames):
        calls = iter(range(1000))

        def struck(old, new, calls=calls, number=number):
            if next(calls) == number:
                Path(old).with_name(f".{Path(old).name.lstrip('.')}.part").write_text("half")
                raise KeyboardInterrupt
            rename(old, new)

        out = folder / f"out{number}"
        monkeypatch.setattr(os, "replace", struck)
        assert prepare(source, out, *flags) == 130
        monkeypatch.setattr(os, "replace", rename)
        assert prepare(source, out, *flags) == 0
        assert contents(out) == contents(folder / "whole"), number
