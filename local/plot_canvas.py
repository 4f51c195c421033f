"""What the picture is drawn with: colours, panels, axes and bars in one dark style."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, FuncFormatter

from local.report_words import length, words

GROUND, PANEL, GRID, INK, FAINT = "#0d1117", "#131a24", "#243040", "#e8edf4", "#8494a8"
SOUND, TARGET = "#35c4e8", "#ffb000"
STATUS = {"green": "#4cc38a", "yellow": "#f5d90a", "red": "#ff6369", None: FAINT}

READABLE = [withStroke(linewidth=3, foreground=PANEL)]  # keeps a label legible where a curve crosses it


def panel(axes: Axes, title: str) -> None:
    axes.set_facecolor(PANEL)
    axes.set_title(title, color=INK, fontsize=10.5, loc="left", weight="bold", pad=6)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(colors=FAINT, labelsize=8.5, length=0)
    axes.grid(visible=True, axis="y", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)


def aside(axes: Axes, text: str, colour: str) -> None:
    axes.set_title(text, color=colour, fontsize=9.5, loc="right", weight="bold", pad=6)


def time_axis(axes: Axes, duration_s: float, *, labels: bool) -> None:
    axes.set_xlim(0, max(duration_s, 0.001))
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
    step = next((s for s in steps if duration_s / s <= 12), 7200)
    axes.xaxis.set_major_locator(FixedLocator([step * i for i in range(int(duration_s // step) + 1)]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda s, _: length(s) if labels else ""))


def nothing(axes: Axes, locale: str) -> None:
    axes.set_yticks([])
    axes.text(
        0.5,
        0.5,
        words("nothingToShow", locale),
        color=FAINT,
        fontsize=11,
        ha="center",
        va="center",
        transform=axes.transAxes,
    )


def bar(left: float, middle: float, width: float, colour: str) -> FancyBboxPatch:
    return FancyBboxPatch(
        (left, middle - 0.45), width, 0.9, boxstyle="round,pad=0,rounding_size=0.15", fc=colour, ec="none"
    )


def score_colour(score: float | None) -> str:
    return STATUS[None if score is None else "green" if score >= 75 else "yellow" if score >= 60 else "red"]


def shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
