"""What a prediction leaves, and what is said of all of them."""

from dataclasses import dataclass
from pathlib import Path

NOTICE = (
    "Not for diagnosis or any clinical decision: what follows is a research model's output, and "
    "nobody has shown how often it is right on these images."
)
RESULT = "predictions.json"


@dataclass(frozen=True)
class Outcome:
    """What a prediction leaves.

    Attributes:
        out: Its folder.
        num_predicted: Images with a row, earlier ones too.
        num_resumed: Those of them that were there before.
        num_left_out: Files that are listed as left out.
        thresholds: Sentences on them.
        notes: Sentences on all of it.
    """

    out: Path
    num_predicted: int
    num_resumed: int
    num_left_out: int
    thresholds: list[str]
    notes: list[str]
