"""Refuses what is wrong in a study's list of external test sets."""

import re

from spelling import meant
from studies.specification.specification import Specification

# It becomes part of the names of files and folders.
_NAME = re.compile(r"(?!.*__)[A-Za-z0-9][A-Za-z0-9_.-]*")


def wrong_external(specification: Specification) -> list[str]:
    """Sentences on names that are none, come twice, or are declared without being there."""
    names, declared = specification.external, specification.external_primary
    found = []
    if names and specification.distances:
        found.append("external: a study of generators scores no patients. Leave it out.")
    for name in names:
        if not _NAME.fullmatch(name):
            found.append(
                f"external: {name!r}: expected the name of a test set, of letters, digits, '-', "
                "'.' and single '_'. Its path is given where the study is run: --external "
                "NAME=CACHE."
            )
    for key, given in (("external", names), ("external_primary", declared)):
        doubled = sorted({name for name in given if given.count(name) > 1})
        if doubled:
            found.append(f"{key} holds {', '.join(doubled)} more than once.")
    found += [
        f"external_primary: {name}: is no external set of this study.{meant(name, names)} There is "
        f"{', '.join(names) or 'none'}."
        for name in declared
        if name not in names
    ]
    return found
