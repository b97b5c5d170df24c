"""How new images are predicted: what was asked for, judged beside what the checkpoint says."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from prediction.model import Model
from prediction.threshold import Threshold, thresholds_of
from preparation.films.dicom.header import DicomOptions
from provenance import UserError


@dataclass(frozen=True)
class Request:
    """How new images are predicted, once the flags have been judged."""

    task: str
    thresholds: list[Threshold | None]
    grad_cam: bool
    series_as: Literal["nifti", "dicom_seg"]
    overlays: bool
    window: tuple[float, float] | None
    own_window: bool
    variable_spacing: bool
    dicom: DicomOptions

    def identity(self, model: Model) -> dict[str, Any]:
        """What may not differ between commands that fill one folder; plain values."""
        shared = {"task": self.task, "checkpoint_sha256": model.sha256}
        if self.task == "classification":
            values = [None if one is None else one.value for one in self.thresholds]
            given = {"grad_cam": self.grad_cam, "dicom": asdict(self.dicom)}
            return {**shared, "thresholds": values, **given}
        return {
            **shared,
            "format": self.series_as,
            "overlays": self.overlays,
            "window": None if self.window is None else list(self.window),
            "variable_spacing": self.variable_spacing,
        }


def chosen_thresholds(
    model: Model, asked: str | None, evaluation: Path | None
) -> list[Threshold | None]:
    """See `thresholds_of`; none for three and more classes, of which the most probable is called.

    Raises:
        UserError: As there, or one was asked for of three and more classes.
    """
    names = model.class_names
    if model.of_findings or len(names) == 2:
        findings = names if model.of_findings else ()
        return thresholds_of(
            model.checkpoint, model.sha256, model.record, asked, evaluation, findings
        )
    if asked is not None or evaluation is not None:
        raise UserError(
            f"--threshold and --evaluation: {model.checkpoint} tells apart {len(names)} classes, "
            "and the most probable one is called. Leave them out."
        )
    return []


def given_window(width: float | None, center: float | None) -> tuple[float, float] | None:
    """The window of the flags, None without them; UserError for half of one."""
    if width is None and center is None:
        return None
    if width is None or center is None or not 0 < width < float("inf"):
        raise UserError(
            "--window-width-hu and --window-center-hu: give both, the width above 0, such as "
            "--window-width-hu 400 --window-center-hu 40."
        )
    return width, center


def window_of(model: Model, given: tuple[float, float] | None) -> tuple[float, float] | None:
    """The training's window of CT, or where it is not known the given one.

    Raises:
        UserError: Another one was given than the training's.
    """
    own = model.window
    if model.channels and given is not None:
        raise UserError(
            "--window-width-hu and --window-center-hu: the checkpoint says how its channels "
            f"({', '.join(one.name for one in model.channels)}) become grey. Leave them out."
        )
    if own is not None and given is not None and own != given:
        raise UserError(
            f"--window-width-hu {given[0]:g} --window-center-hu {given[1]:g}: the checkpoint was "
            f"trained with {own[0]:g} HU around {own[1]:g} HU, and new images are prepared alike. "
            "Leave the flags out."
        )
    return own or given
