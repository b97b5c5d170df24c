"""How this project draws: figures as PNG bytes, its colours and dashes, one legend for all panels.

Colours of Okabe & Ito 2008. Nothing is told by colour alone: the plots are printed in grey and read
by colour-blind people.
"""

import functools
import io
import textwrap
from collections.abc import Callable, Sequence
from typing import Any, Literal, ParamSpec, TypeVar

Given = ParamSpec("Given")
Drawn = TypeVar("Drawn")

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#555555")
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))
_DPI = 150
_LETTERS_AN_INCH = 12  # of a legend, beside its handles
_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#777777",
    "axes.labelcolor": "#333333",
    "xtick.color": "#333333",
    "ytick.color": "#333333",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.8,
    "hatch.linewidth": 0.6,
    "hatch.color": "#ffffff",
}


def new_figure(
    rows: int = 1, columns: int = 1, *, figsize: tuple[float, float], **settings: Any
) -> tuple[Any, Any]:
    """A figure and its axes, outside pyplot: no window, and a notebook keeps its own plots.

    Args:
        rows: Of panels.
        columns: Of panels.
        figsize: Width and height in inches.
        settings: Of `Figure.subplots`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=figsize, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, **settings)


def styled(draw: Callable[Given, Drawn]) -> Callable[Given, Drawn]:
    """Let a function draw in this project's style, and nobody else."""

    @functools.wraps(draw)
    def drawn(*args: Given.args, **kwargs: Given.kwargs) -> Drawn:
        import matplotlib

        with matplotlib.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return drawn


def png(figure: Any) -> bytes:
    """The figure as PNG."""
    stream = io.BytesIO()
    # Without the software's version the same numbers give the same bytes.
    figure.savefig(stream, format="png", dpi=_DPI, metadata={"Software": None})
    return stream.getvalue()


def logarithmic(panel: Any, axis: Literal["x", "y"]) -> None:
    """A logarithmic axis with plain numbers: 300 in place of 3 x 10^2."""
    from matplotlib.ticker import LogFormatter

    class Plain(LogFormatter):
        def __call__(self, x: float, pos: int | None = None) -> str:
            return f"{x:g}" if super().__call__(x, pos) else ""  # it leaves out what would crowd

    panel.set(**{f"{axis}scale": "log"})
    scale = getattr(panel, f"{axis}axis")
    scale.set_major_formatter(Plain())
    scale.set_minor_formatter(Plain(minor_thresholds=(2, 0.4)))


def shared_legend(figure: Any, *panels: Any, first: Sequence[str] = ()) -> None:
    """One legend above all panels, in two columns if they fit; the labels in `first` lead it.

    The figure grows by the legend, so that panels keep their height however many labels there are;
    labels that are wider than the figure are wrapped.
    """
    handles: dict[str, Any] = {}
    for panel in panels:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    labels = [label for label in first if label in handles]
    labels += [label for label in handles if label not in labels]
    for columns, longest in ((2, None), (1, None), (1, _LETTERS_AN_INCH)) if labels else ():
        most = longest and int(longest * figure.get_figwidth())
        legend = figure.legend(
            [handles[label] for label in labels],
            [textwrap.fill(label, most) if most else label for label in labels],
            loc="outside upper left",
            ncols=columns,
            frameon=False,
            fontsize=9,
        )
        figure.draw_without_rendering()
        extent = legend.get_window_extent()
        if longest or extent.x1 <= figure.bbox.x1:
            figure.set_figheight(figure.get_figheight() + extent.height / figure.dpi)
            return
        legend.remove()  # names too long to stand side by side, or in the figure
