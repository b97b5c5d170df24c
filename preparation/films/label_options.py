"""The flags that say where the labels of films stand, and what they mean."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from patient_names import Ids
from preparation.films.label_table import LabelTable, read_label_table
from preparation.films.uncertain_labels import decided
from preparation.label_map import parse_label_map
from provenance import UserError, sha256_of
from spelling import meant_path


@dataclass(frozen=True, kw_only=True)
class LabelOptions:
    """Where the labels of films stand.

    Attributes:
        labels: Table (CSV) with a row per film, or none for no labels. Default of image_folder: the
            names of the class folders, if the images are in 2 to 20 folders.
        label_columns: Columns of the table to keep as labels; no other column is read.
        key_column: Column that names the film by its file or SOPInstanceUID. Default: image, file,
            filename, path, sop_instance_uid or Image Index.
        patient_column: Column that names the patient. Default: patient, patient_id or Patient ID.
        unlabelled: What to do with films without a label: leave them out (reject), or keep them
            without a label.
        label_map: New names of labels: pairs such as normal=Normal,nan= (nothing after = removes
            the label), or a file with one pair per line. Labels that differ only in spelling are
            refused until the map names the right one. Case is ignored for class folders.
        uncertain_labels: What -1 means in a column of 0, 1, -1 and blanks, as in CheXpert: no label
            (ignored), positive or negative.
        blank_labels: What a blank means in such a column, or, if this flag is given, in any column
            of 0 and 1. Default: negative in a column with -1 and in a table with a column
            No Finding, else unlabelled.
    """

    labels: str | None = None
    label_columns: tuple[str, ...] = ("label",)
    key_column: str | None = None
    patient_column: str | None = None
    unlabelled: Literal["reject", "keep"] = "reject"
    label_map: tuple[str, ...] = ()
    uncertain_labels: Literal["ignored", "positive", "negative"] = "ignored"
    blank_labels: Literal["negative", "unlabelled"] | None = None

    @property
    def new_names(self) -> dict[str, str]:
        """The label map; see `parse_label_map`."""
        return parse_label_map(self.label_map)

    @property
    def of_folders(self) -> dict[str, str]:
        """The label map for names of class folders, which are lowered before they are labels.

        Raises:
            UserError: Two old labels differ in capitals alone, and have different new names.
        """
        lowered: dict[str, str] = {}
        for old, new in self.new_names.items():
            if lowered.setdefault(old.lower(), new) != new:
                raise UserError(
                    f"--label-map: {old!r} becomes {new!r}, but {lowered[old.lower()]!r} in other "
                    "capitals, which do not count in the names of class folders. Keep one."
                )
        return lowered

    def settings(self, coded: bool, new_names: Mapping[str, str]) -> dict[str, Any]:
        """What a cache's settings say of the labels: the table stands there as a hash.

        A map is said only where there is one, and the flags of uncertain and blank labels only
        where the table has such columns, so that caches from before there were any go on.

        Args:
            coded: What `read` said.
            new_names: The label map as it is applied.
        """
        own = ("label_columns", "key_column", "patient_column", "unlabelled")
        kept = {name: getattr(self, name) for name in own}
        if self.label_map:
            kept["label_map"] = dict(new_names)
        if coded:
            kept["uncertain_labels"] = self.uncertain_labels
            kept["blank_labels"] = self.blank_labels or "negative"
        return kept

    @property
    def path(self) -> Path | None:
        """The table's file; None for none."""
        return None if self.labels in (None, "none") else Path(str(self.labels))

    def sha256(self) -> str | None:
        """Hash of the table's file.

        Raises:
            UserError: It is missing.
        """
        if self.path is None:
            return None
        if not self.path.is_file():
            raise UserError(
                f"--labels {self.path}: there is no such file.{meant_path(self.path)} Give the "
                "label table (CSV)."
            )
        return sha256_of(self.path)

    def read(self, patient_ids: Ids = "as_numbers") -> tuple[LabelTable | None, list[str]]:
        """The table, and a sentence for each column that holds uncertain or blank labels.

        Args:
            patient_ids: Which identifiers are one patient.

        Raises:
            UserError: See `read_label_table` and `decided`.
        """
        if self.path is None:
            return None, []
        table = read_label_table(
            self.path,
            self.key_column,
            self.label_columns,
            self.patient_column,
            self.new_names,
            patient_ids,
        )
        return decided(table, self.uncertain_labels, self.blank_labels, self.new_names)
