"""The flags that say in which release's layout films lie, and what of it is kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from provenance import UserError
from spelling import meant

Layout = Literal["nih", "chexpert", "mimic", "medmnist"]
View = Literal["PA", "AP", "lateral"]


@dataclass(frozen=True, kw_only=True)
class ReleaseOptions:
    """In which release's layout films lie.

    Attributes:
        layout: Layout of a public release: nih (ChestX-ray14), chexpert, mimic (MIMIC-CXR-JPG) or
            medmnist. Labels, patients and views are then read from the release's tables. Default:
            a label table or class folders.
        findings: With --layout: findings to keep, each a label column of 0 and 1. Default: all.
        views: With --layout: views to keep, of PA, AP and lateral. Default: PA and AP, the frontal
            views.
        published_split: With --layout: use the published split instead of drawing one. If it has no
            validation split, one is drawn from its training patients.
    """

    layout: Layout | None = None
    findings: tuple[str, ...] = ()
    views: tuple[View, ...] = ()
    published_split: bool = False

    def __post_init__(self) -> None:
        given = {"findings": self.findings, "views": self.views}
        flags = [f"--{name} {' '.join(value)}" for name, value in given.items() if value]
        flags += ["--published-split"] if self.published_split else []
        if flags and self.layout is None:
            raise UserError(
                f"{flags[0]}: is of a release's layout. Name it with --layout "
                f"{', '.join(get_args(Layout))}, or leave the flag out."
            )
        if self.layout == "medmnist" and (self.views or self.published_split):
            raise UserError(
                f"{flags[-1]}: MedMNIST's files name no views, and always have their own split. "
                "Leave the flag out."
            )

    @property
    def of_tables(self) -> bool:
        """Whether tables of the release say what the films show."""
        return self.layout in ("nih", "chexpert", "mimic")

    @property
    def wanted_views(self) -> tuple[str, ...]:
        """Views to keep."""
        return self.views or ("PA", "AP")

    def wanted_findings(self, known: Sequence[str]) -> tuple[str, ...]:
        """The findings to keep, in the order of the release.

        Args:
            known: Those of the release.

        Raises:
            UserError: It has no such finding.
        """
        spelt = {plain(name): name for name in known}
        for name in self.findings:
            if plain(name) not in spelt:
                raise UserError(
                    f"--findings {name}: the release has no such finding."
                    f"{meant(name, list(known))} It has {', '.join(known)}."
                )
        asked = {spelt[plain(name)] for name in self.findings}
        return tuple(name for name in known if name in asked) if asked else tuple(known)

    def settings(self) -> dict[str, Any]:
        """As plain values, for the cache's settings; nothing without a layout."""
        if self.layout is None:
            return {}
        return {
            "layout": self.layout,
            "findings": list(self.findings),
            "views": list(self.wanted_views) if self.of_tables else [],
            "published_split": self.published_split,
        }


def plain(name: str) -> str:
    """A finding's name without what spellings of it differ in: `Pleural_Thickening`."""
    return " ".join(name.replace("_", " ").split()).lower()
