"""A card as plain content, and its two forms: Markdown with Hugging Face's header, and JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from display.tables import as_text, markdown, text_table
from foreign_text import printable
from licences import NOT_ADVICE, Licence
from provenance import write_json_atomic, write_text_atomic

PAGE, CONTENT = "README.md", "card.json"
HEADINGS = {
    "Congruence": "how like the real images they are",
    "Coverage": "how much of their variety is there",
    "Constraint": "what holds for every image",
    "Completeness": "what is told of each image, and what is lacking",
    "Compliance": "whose data are behind it, and what may be done with it",
    "Comprehension": "what it is, and what it is for",
    "Consistency": "whether it comes out the same again",
}
"""The seven of the SMD card for synthetic medical data (Zamzmi et al., arXiv:2406.11143)."""

Row = tuple[str, str]


@dataclass(frozen=True)
class Card:
    """What a card says.

    Attributes:
        title: Its heading.
        statement: What nobody may overlook.
        facts: What it is, as pairs of name and text.
        command: What made it, in words of the prompt.
        copies: Paragraph on the audit for copies.
        sections: Pairs of name and text under each of `HEADINGS`.
        licences: Of the data behind it.
        limits: Sentences.
        cite: Whom to name.
        header: Hugging Face's metadata.
        results: Numbers as they were recorded, for the JSON.
    """

    title: str
    statement: str
    facts: Sequence[Row]
    command: str | None
    copies: str
    sections: Mapping[str, Sequence[Row]]
    licences: Sequence[Licence]
    limits: Sequence[str]
    cite: Sequence[str]
    header: Mapping[str, Any]
    results: Mapping[str, Any] = field(default_factory=dict)

    def markdown(self) -> str:
        """The page."""
        head = yaml.safe_dump(dict(self.header), sort_keys=False, allow_unicode=True)
        parts = [f"---\n{head}---", f"# {_text(self.title)}", f"**{self.statement}**"]
        parts.append(markdown(text_table(("", ""), self.facts)).strip())
        if self.command:
            parts.append(f"Made by\n\n```\n{self.command}\n```")
        parts.append(self.copies)
        for heading, meaning in HEADINGS.items():
            rows = [*self.sections[heading]]
            parts.append(f"## {heading}: {meaning}")
            parts.append(markdown(text_table(("", ""), rows)).strip())
            if heading == "Compliance":
                parts.append(_of_licences(self.licences))
        parts += ["## Limits", _listed(self.limits), "## How to cite", _listed(self.cite)]
        return "\n\n".join(parts) + "\n"

    def plain(self) -> dict[str, Any]:
        """The same as plain values."""
        return {
            "format": "understudy-card",
            "title": self.title,
            "statement": self.statement,
            "facts": dict(self.facts),
            "command": self.command,
            "copies": self.copies.replace("*", ""),
            "sections": {heading: dict(self.sections[heading]) for heading in HEADINGS},
            "licences": [{**one.plain(), "demands": one.demands} for one in self.licences],
            "limits": [*self.limits],
            "cite": [*self.cite],
            "header": dict(self.header),
            **self.results,
        }

    def write(self, folder: Path) -> None:
        """Write both forms."""
        write_json_atomic(folder / CONTENT, self.plain())
        write_text_atomic(folder / PAGE, self.markdown())


def _of_licences(licences: Sequence[Licence]) -> str:
    lines = []
    for one in licences:
        lines.append(f"- **{_text(one.in_words)}**")
        lines += [f"  - {demand}: {_text(sentence)}" for demand, sentence in one.demands.items()]
        lines += [] if one.demands else ["  - it demands nothing of whoever hands this on."]
    return "\n".join([*lines, "", NOT_ADVICE])


def _listed(lines: Sequence[str]) -> str:
    return "\n".join(f"- {_text(line)}" for line in lines)


def _text(text: str) -> str:
    return as_text(printable(text))
