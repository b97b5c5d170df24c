"""What the cells of a release's tables say of a film: 0, 1, or nothing.

In CheXpert and MIMIC-CXR a finding is 1 (positive), 0 (negative), -1 (uncertain) or blank (not
mentioned in the report). Irvin et al. 2019 (CheXpert, arXiv:1901.07031) take blanks for negative
and compare what may be done with the uncertain ones: U-Ignore, U-Ones, U-Zeroes.
"""

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from preparation.films.label_table import as_number
from provenance import UserError

NO_FINDING = "No Finding"
_DEVICES = "Support Devices"
_AGE = re.compile(r"0*(\d{1,3})(?:\.0*)?([YMWD]?)", re.IGNORECASE)
_OLDEST = 120
# From here on an age alone can tell who somebody is (45 CFR 164.514); all of these are one.
_AGES_AS_ONE = 90


@dataclass
class Policy:
    """Decides on cells, and counts what it decided.

    Attributes:
        uncertain: What -1 becomes; ignored: no label.
        blank: What a blank becomes.
        counts: How many cells were `uncertain` and `blank`.
    """

    uncertain: Literal["ignored", "positive", "negative"] = "ignored"
    blank: Literal["negative", "unlabelled"] = "negative"
    counts: Counter[str] = field(default_factory=Counter)

    def of(self, cell: str, where: str) -> str:
        """`1`, `0`, or empty for unknown.

        Args:
            cell: As the table has it.
            where: Table, line and column, for the sentence.

        Raises:
            UserError: It is none of 1, 0, -1 and blank.
        """
        if not cell:
            self.counts["blank"] += 1
            return "" if self.blank == "unlabelled" else "0"
        number = as_number(cell)
        if number == -1:
            self.counts["uncertain"] += 1
            return {"ignored": "", "positive": "1", "negative": "0"}[self.uncertain]
        if number not in (0, 1):
            raise UserError(
                f"{where} is {cell!r}; expected 1 (positive), 0 (negative), -1 (uncertain) or a "
                "blank. Nothing was prepared; give the table as it was published."
            )
        return "1" if number else "0"

    def note(self, num_cells: int) -> str:
        """What was done with uncertain and blank cells, for the person."""
        return (
            f"of {num_cells:,} values of findings {self.counts['uncertain']:,} are uncertain (-1) "
            f"and {self.uncertain} (--uncertain-labels), {self.counts['blank']:,} are blank and "
            f"{self.blank} (--blank-labels)."
        )


def normal_or_not(findings: dict[str, str]) -> str:
    """`normal`, `abnormal`, or empty where the findings leave it open.

    A film with a finding is abnormal; a device that supports the patient is none. One without is
    normal where the release says so in as many words (No Finding).

    Args:
        findings: `0`, `1` or empty of each finding of the release, No Finding among them.
    """
    real = {name: v for name, v in findings.items() if name not in (NO_FINDING, _DEVICES)}
    if "1" in real.values():
        return "abnormal"
    return "normal" if findings.get(NO_FINDING) == "1" else ""


def age_in_years(cell: str) -> str:
    """`058Y`, `58` or `006M` as whole years; empty for none and for what no age is (411Y)."""
    found = _AGE.fullmatch(cell)
    if found is None:
        return ""
    years = int(found[1]) // {"Y": 1, "": 1, "M": 12, "W": 52, "D": 365}[found[2].upper()]
    return str(min(years, _AGES_AS_ONE)) if years <= _OLDEST else ""


def sex(cell: str) -> str:
    """`F`, `M`, or empty."""
    return {"f": "F", "female": "F", "m": "M", "male": "M"}.get(cell.lower(), "")
