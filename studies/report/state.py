"""What the report of every study begins with: the study, and what is done, missing and failed."""

from collections.abc import Mapping, Sequence
from typing import Any

from display.numbers import count
from studies.specification.specification import Specification
from studies.statistics.cells import Record


def of_study(specification: Specification, records: Sequence[Record]) -> list[Record]:
    """Those of the finished cells that are cells of this study."""
    names = {cell.name for cell in specification.cells()}
    return [record for record in records if record["name"] in names]


def state_of(
    specification: Specification, records: Sequence[Record], failures: Sequence[Record]
) -> dict[str, Any]:
    """What every study's report begins with: the study, and what is done, missing and failed."""
    cells = specification.cells()
    done = {record["name"] for record in records}
    return {
        "format": "understudy-report",
        "format_version": 1,
        "specification": specification.as_dict(),
        "cells_total": len(cells),
        "cells_done": len(records),
        "cells_missing": [cell.name for cell in cells if cell.name not in done],
        "failures": [
            {key: failure.get(key) for key in ("name", "message", "traceback", "log")}
            for failure in failures
        ],
    }


def unfinished(content: Mapping[str, Any]) -> list[str]:
    """The sentence that says so, if cells are missing."""
    missing = content["cells_total"] - content["cells_done"]
    if not missing:
        return []
    total = count(content["cells_total"], "cell")
    return [f"The study is unfinished: {missing} of {total} missing or failed."]
