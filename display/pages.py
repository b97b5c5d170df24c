"""HTML pages that need no other file: templates, and figures inside the page.

A page's template extends `base.html.j2`, which holds the one stylesheet, and draws tables and
figures by `macros.html.j2`.
"""

import base64
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class PageFigure:
    """A figure of a page; `png` None means that it is lacking, and the caption says why.

    Attributes:
        title: In front of the caption.
        png: The file's content; photographs may be WebP, which is a sixth of the size.
        alt: What it shows, for those who cannot see it.
        caption: Below it.
        style: CSS class; "narrow" for a figure that wants no whole line.
    """

    title: str
    png: bytes | None
    alt: str
    caption: str = ""
    style: str = ""

    @property
    def source(self) -> str:
        """Data URI, so that the page needs no other file."""
        content = self.png or b""
        kind = "webp" if content[8:12] == b"WEBP" else "png"
        return f"data:image/{kind};base64," + base64.b64encode(content).decode("ascii")


def render_page(template: Path, **content: Any) -> str:
    """HTML of a template; what it is not given is an error, and text is escaped.

    Args:
        template: A .html.j2 file; it may name its neighbours and the templates of this room.
        content: The template's variables.
    """
    html: str = _templates(template.parent).get_template(template.name).render(**content)
    return html


@cache
def _templates(folder: Path) -> Any:
    """The templates of a folder and of this room; kept, since each is compiled at its first use."""
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, Path(__file__).parent]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
