"""What a set of drawn patients says of its tumours."""

from dataclasses import dataclass

SMALLEST_MM, LARGEST_MM = 5, 60


@dataclass(frozen=True)
class TumourSettings:
    """How common and how large the drawn tumours are.

    Attributes:
        share_of_patients: Probability that a patient has a tumour, in [0, 1]; in KiTS19 all have.
        median_mm: Median diameter, before each is kept within 5 to 60 mm.
    """

    share_of_patients: float = 0.8
    median_mm: float = 34.0


USUAL_TUMOURS = TumourSettings()
