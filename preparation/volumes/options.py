"""Flags that several sources of CT slices share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from preparation.label_map import parse_label_map
from preparation.pseudonym import Naming, PatientOptions
from preparation.split import Split
from preparation.volumes.labels.names import parse_labels
from preparation.volumes.labels.values import MaskValues
from provenance import UserError


@dataclass(frozen=True, kw_only=True)
class PixelOptions:
    """How large the slices of volumes become, and of which shape their pixels.

    Attributes:
        image_size: Height = width in pixels to resize to, 1 or more. Default: the most common size
            of the source.
        resample: Resample pixels that are not square to squares, as in a volume of thick coronal
            slices. Volumes that do not state the size of their pixels are then left out.

    Raises:
        UserError: The size is below 1.
    """

    image_size: int | None = None
    resample: bool = False

    def __post_init__(self) -> None:
        if self.image_size is not None and self.image_size < 1:
            raise UserError(f"--image-size {self.image_size}: expected 1 or more pixels.")


@dataclass(frozen=True, kw_only=True)
class SliceOptions:
    """What every source of slices takes.

    Attributes:
        split_by: patient: all slices of a patient are in one split. slice: as papers may do that do
            not say "by patient"; slices of one patient are then in several splits, and every score
            is too high.
        split_ratios: Shares of train, val and test.
        split_seed: Seed of the split. Another seed splits the patients differently.
        split_all_to: Put everything into train, val or test. Default: test for a single patient.
        on_nonsquare: What to do with slices that are not square: pad them with air and background,
            or skip the volume.
        workers: Number of processes; each has one volume in memory.
        licence: Licence of the data: kits19, 3d-ircadb, nih, kermany, chexpert, mimic-cxr, medmnist
            or own, a licence such as "CC BY-NC 4.0", or "<data>: <their licence>". It is copied
            into checkpoints and synthetic sets. Default: that of the source if it is known, else
            "not stated"; prepare.py licence states it later.
        strict: Stop at the first volume or slice that cannot be used. Default: list it, prepare the
            others, and end with exit status 3.
        verify: Compare the results of an earlier run with their hashes and make damaged volumes
            again; at the end, compute all hashes, also those of the source.
    """

    split_by: Literal["patient", "slice"] = "patient"
    split_ratios: tuple[float, float, float] = Split.ratios
    split_seed: int = Split.seed
    split_all_to: Literal["train", "val", "test"] | None = None
    on_nonsquare: Literal["pad", "skip"] = "pad"
    workers: int = 1
    licence: str | None = None
    strict: bool = False
    verify: bool = False

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise UserError(f"--workers {self.workers}: expected 1 or more.")

    @property
    def split(self) -> Split:
        """How the slices are split."""
        return Split(self.split_by, self.split_ratios, self.split_seed, self.split_all_to)


@dataclass(frozen=True, kw_only=True)
class MaskOptions:
    """Flags of sources whose masks are label maps with whole numbers.

    Attributes:
        labels: Names of the mask values 0, 1, 2, ..., such as background,liver,tumour; or of other
            values, such as 0=background,5=liver. Default: as the source declares, else 1 is kidney
            and 2 tumour. Values without a name are refused.
        label_map: New classes for mask values: pairs such as 3=0 (background), 3=tumour (merge) or
            3=cyst (a new class), or a file with one pair per line.
        keep_patient_names: Name patients as the source does instead of by pseudonyms. Only for
            public names, such as KiTS19's case_00000.
        patients: See `PatientOptions`.
    """

    labels: tuple[str, ...] = ()
    label_map: tuple[str, ...] = ()
    keep_patient_names: bool = False
    patients: PatientOptions = PatientOptions()

    @property
    def new_names(self) -> Mapping[str, str]:
        """What each value becomes, as given."""
        return parse_label_map(self.label_map)

    @property
    def given_labels(self) -> Mapping[int, str] | None:
        """What each value is called, as given; None where it is not."""
        return parse_labels(self.labels)

    @property
    def values(self) -> MaskValues:
        """What the values of the masks mean."""
        return MaskValues.of(self.new_names, self.given_labels)

    @property
    def naming(self) -> Naming:
        """How patients are named."""
        return self.patients.naming("--keep-patient-names" if self.keep_patient_names else None)
