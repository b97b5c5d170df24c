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
        image_size: Height = width in pixels to resize to. Default: the source's own size.
        resample: Make pixels square where they are not, as in a volume of thick coronal slices.
            Volumes that do not tell the size of their pixels are left out.
    """

    image_size: int | None = None
    resample: bool = False


@dataclass(frozen=True, kw_only=True)
class SliceOptions:
    """What every source of slices takes.

    Attributes:
        split_by: patient: all slices of a patient in one split. slice: as in Choe et al. 2022;
            slices of one patient fall on both sides, which overstates every score.
        split_ratios: Shares of train, val and test.
        split_seed: Another seed, another division.
        split_all_to: Put everything into train, val or test. Default: test for a single patient.
        on_nonsquare: Slices that are not square: pad them with air and background, or skip the
            volume.
        workers: Processes; each holds one volume in memory.
        licence: Of the data: kits19, 3d-ircadb, nih, kermany, chexpert, mimic-cxr, medmnist or own,
            a licence such as "CC BY-NC 4.0", or "<data>: <their licence>". Checkpoints and
            synthetic sets carry it. Default: what the command knows of its source, else "not
            stated"; prepare.py licence states it later.
        strict: Stop at the first volume or slice that cannot be used. Otherwise it is listed, the
            others are prepared, and the exit status is 3.
        verify: Compare what an earlier run finished with its hashes and make damaged volumes
            again; when done, compute all hashes, also of the source.
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
        """How the slices are divided."""
        return Split(self.split_by, self.split_ratios, self.split_seed, self.split_all_to)


@dataclass(frozen=True, kw_only=True)
class MaskOptions:
    """What sources take whose masks say by numbers what they mark.

    Attributes:
        labels: Names of the values 0, 1, 2, ... of the masks: background,liver,tumour. Or of
            others: 0=background,5=liver. Default: what the source declares, else 1 is kidney and 2
            tumour. Values that are not named are refused.
        label_map: What values of the masks become: pairs such as 3=0, 3=tumour to merge, or 3=cyst
            for a class of its own, or a file with one pair per line.
        keep_patient_names: Name patients as the source does, not by pseudonyms: for public names
            alone, such as KiTS19's case_00000.
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
