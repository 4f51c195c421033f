"""One picture of an analysis, worth posting: score, waveform, loudness over time, spectrum and stereo, with targets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from analysis.verdict.tables import GENRES, METRICS, PLATFORMS, SCORING, THIRD_OCTAVES_HZ
from local.plot_canvas import (
    FAINT,
    GRID,
    GROUND,
    INK,
    PANEL,
    READABLE,
    SOUND,
    STATUS,
    TARGET,
    aside,
    bar,
    nothing,
    panel,
    score_colour,
    shortened,
    time_axis,
)
from local.report_words import length, quantity, words

Result = Mapping[str, Any]

_SIZE_IN, _DPI = (12.8, 9.0), 150
_LOUDNESS_SPAN_LU = 30.0


def plot(
    result: Result,
    path: Path,
    *,
    locale: str = "en",
    filename: str | None = None,
    reference: Result | None = None,
) -> None:
    """Writes the picture of one result with its verdict; the format by the path's ending, PNG where in doubt.

    reference: the result it was compared with, whose spectrum is then drawn in place of the genre's.
    """
    figure = Figure(figsize=_SIZE_IN, facecolor=GROUND)
    grid = figure.add_gridspec(
        4,
        2,
        height_ratios=(1.15, 0.9, 1.9, 2.3),
        width_ratios=(2.35, 1),
        left=0.062,
        right=0.975,
        top=0.975,
        bottom=0.052,
        hspace=0.36,
        wspace=0.1,
    )
    _head(figure.add_subplot(grid[0, :]), result, locale, filename)
    _waveform(figure.add_subplot(grid[1, :]), result, locale)
    _loudness(figure.add_subplot(grid[2, :]), result, locale)
    _spectrum(figure.add_subplot(grid[3, 0]), result, locale, reference)
    _stereo(figure.add_subplot(grid[3, 1]), result, locale)
    figure.text(0.975, 0.012, "prodai", color=FAINT, fontsize=9, weight="bold", ha="right")
    figure.savefig(path, dpi=_DPI, facecolor=GROUND, format=path.suffix.lstrip(".") or "png")


def _head(axes: Axes, result: Result, locale: str, filename: str | None) -> None:
    axes.set_axis_off()
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 10)
    verdict = result["verdict"]
    score, grade = verdict["score"], verdict["gradePt" if locale == "pt-BR" else "grade"]
    colour = score_colour(score)
    axes.text(0, 5.0, "–" if score is None else str(score), color=colour, fontsize=50, weight="bold", va="center")
    left = 12.5
    axes.text(
        left,
        8.4,
        shortened(filename or words("report", locale), 44),
        color=INK,
        fontsize=19,
        weight="bold",
        va="center",
    )
    against = words("against", locale, name=_against(verdict, locale))
    axes.text(left, 4.9, f"{grade or words('noScore', locale)} · {against}", color=colour, fontsize=12, va="center")
    axes.text(left, 1.7, _facts(result, locale), color=FAINT, fontsize=10.5, va="center")
    _part_bars(axes, verdict["parts"], locale)


def _part_bars(axes: Axes, parts: Mapping[str, Mapping[str, Any]], locale: str) -> None:
    left, width = 76.0, 17.5
    for row, (part, found) in enumerate(parts.items()):
        y = 9.3 - row * 1.75
        axes.text(left - 0.8, y, SCORING["partNames"][part][locale], color=FAINT, fontsize=9, ha="right", va="center")
        axes.add_patch(bar(left, y, width, PANEL))
        if found["score"] is None:
            axes.text(left + 0.6, y, words("leftOut", locale), color=FAINT, fontsize=7, va="center")
            continue
        axes.add_patch(bar(left, y, max(0.35, width * found["score"] / 100), score_colour(found["score"])))
        points = quantity(found["score"] * found["weight"] / 100, "", locale, 0)
        axes.text(left + width + 0.9, y, f"{points} / {found['weight']}", color=INK, fontsize=9, va="center")


def _facts(result: Result, locale: str) -> str:
    loudness, rhythm, tonality = (result.get(section) or {} for section in ("loudness", "rhythm", "tonality"))
    facts = [
        quantity(loudness.get("integratedLufs"), "LUFS", locale),
        quantity(loudness.get("truePeakDbtp"), "dBTP", locale),
        "DR " + quantity((result.get("dynamics") or {}).get("drDb"), "", locale),
        quantity(rhythm.get("tempoBpm"), "BPM", locale),
    ]
    if tonality.get("key"):
        facts.append(f"{tonality['key']} {words(tonality['mode'], locale)} ({tonality['camelot']})")
    return "    ".join(fact for fact in (*facts, length(result["file"]["durationS"])) if "–" not in fact)


def _waveform(axes: Axes, result: Result, locale: str) -> None:
    panel(axes, words("waveform", locale))
    peaks = (result.get("waveform") or {}).get("peaks")
    axes.set_yticks([])
    axes.set_ylim(-1.05, 1.05)
    time_axis(axes, result["file"]["durationS"], labels=False)
    if not peaks:
        nothing(axes, locale)
        return
    step = result["file"]["durationS"] / len(peaks)
    times = [step * (i + 0.5) for i in range(len(peaks))]
    axes.fill_between(times, [-peak for peak in peaks], peaks, color=SOUND, linewidth=0)
    for level in (-1, 1):
        axes.axhline(level, color=GRID, linewidth=0.8)
    clipping = (result.get("dynamics") or {}).get("clipping") or {}
    if clipping.get("firstS") is not None:
        axes.axvline(clipping["firstS"], color=STATUS["red"], linewidth=1.2)
        found = words("clips", locale, samples=str(clipping["samples"]), at=length(clipping["firstS"]))
        aside(axes, found, STATUS["red"])


def _loudness(axes: Axes, result: Result, locale: str) -> None:
    panel(axes, words("loudnessOverTime", locale))
    series = (result.get("loudness") or {}).get("shortTermSeries") or {"stepS": 0.0, "lufs": []}
    levels = series["lufs"]
    heard = [level for level in levels if level is not None]
    time_axis(axes, result["file"]["durationS"], labels=True)
    if not heard:
        nothing(axes, locale)
        return
    comparison = next((c for c in result["verdict"]["comparisons"] if c["metric"] == "integratedLufs"), None)
    goal = comparison["target"] if comparison else max(heard)
    top = max(*heard, goal, -9.0) + 2.5
    bottom = min(top - 14, max(top - _LOUDNESS_SPAN_LU, min(*heard, goal) - 2))
    axes.set_ylim(bottom, top)
    times = [(i + 1) * series["stepS"] for i in range(len(levels))]
    drawn = [math.nan if level is None else max(bottom, level) for level in levels]
    axes.fill_between(times, bottom, drawn, color=SOUND, alpha=0.22, linewidth=0)
    axes.plot(times, drawn, color=SOUND, linewidth=1.6)
    axes.set_ylabel("LUFS", color=FAINT, fontsize=9)
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    _targets(axes, result, comparison, locale)


def _targets(axes: Axes, result: Result, comparison: Mapping[str, Any] | None, locale: str) -> None:
    end, (bottom, top) = result["file"]["durationS"], axes.get_ylim()
    if comparison:
        target, tolerance = comparison["target"], comparison["tolerance"]
        axes.axhspan(target - tolerance, target + tolerance, color=TARGET, alpha=0.18, linewidth=0)
        aside(axes, f"{shortened(_against(result['verdict'], locale), 36)} {quantity(target, 'LUFS', locale)}", TARGET)
        value = comparison["value"]
        axes.axhline(value, color=INK, linewidth=1, linestyle=(0, (5, 3)))
        mine = f"{words('integrated', locale)} {quantity(value, 'LUFS', locale)}"
        axes.text(end * 0.005, value, mine, color=INK, fontsize=8.5, va="bottom", weight="bold", path_effects=READABLE)
    for name in ("Spotify", "Apple Music"):
        level = next(p["targetLufs"] for p in PLATFORMS if p["name"] == name)
        if bottom < level < top:
            axes.axhline(level, color=FAINT, linewidth=0.8, linestyle=":")
            axes.text(
                end * 0.995,
                level,
                f"{name} {level}",
                color=FAINT,
                fontsize=8,
                ha="right",
                va="bottom",
                path_effects=READABLE,
            )


def _spectrum(axes: Axes, result: Result, locale: str, reference: Result | None) -> None:
    verdict = result["verdict"]
    panel(axes, words("spectrum", locale))
    levels = (result.get("spectrum") or {}).get("thirdOctavesDb")
    positions = list(range(len(THIRD_OCTAVES_HZ)))
    axes.set_xlim(-0.7, len(positions) - 0.3)
    axes.xaxis.set_major_locator(FixedLocator([i for i, hz in enumerate(THIRD_OCTAVES_HZ) if hz in _MARKED_HZ]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda i, _: _hz(THIRD_OCTAVES_HZ[round(i)])))
    if not levels or not any(level is not None for level in levels):
        nothing(axes, locale)
        return
    curve = _curve(verdict, reference)
    wanted = _laid_through(levels, curve) if curve else None
    peaks = [level for level in (*levels, *(wanted or ())) if level is not None]
    top = max(peaks) + 6
    bottom = top - min(54, top - min(peaks) + 2)
    axes.set_ylim(bottom, top)
    axes.set_ylabel("dB", color=FAINT, fontsize=9)
    heights = [max(0.0, (bottom if level is None else level) - bottom) for level in levels]
    tolerances = _tolerances(verdict)
    colours = [_bar_colour(i, levels, wanted, tolerances) for i in positions]
    axes.bar(positions, heights, bottom=bottom, width=0.78, color=colours)
    if wanted:
        aside(axes, shortened(_against(verdict, locale), 36), TARGET)
        _wanted_curve(axes, [(i, level) for i, level in enumerate(wanted) if level is not None], tolerances)


def _wanted_curve(axes: Axes, points: Sequence[tuple[int, float]], tolerances: Sequence[float]) -> None:
    xs, ys = [i for i, _ in points], [level for _, level in points]
    low, high = ([y + sign * tolerances[i] for i, y in points] for sign in (-1, 1))
    axes.fill_between(xs, low, high, color=TARGET, alpha=0.16, linewidth=0)
    axes.plot(xs, ys, color=TARGET, linewidth=2)


def _tolerances(verdict: Mapping[str, Any]) -> list[float]:
    """For each third octave that of the band which it lies in."""
    judged = {c["metric"]: c["tolerance"] for c in verdict["comparisons"]}
    bands = [(m.hz[1], judged.get(m.id, m.tolerance)) for m in METRICS.values() if m.hz]
    return [next((tolerance for high, tolerance in bands if hz < high), bands[-1][1]) for hz in THIRD_OCTAVES_HZ]


_MARKED_HZ = (31.5, 63, 125, 250, 500, 1000, 2000, 4000, 8000, 16000)


def _hz(hz: float) -> str:
    return f"{hz / 1000:g}k" if hz >= 1000 else f"{hz:g}"


def _curve(verdict: Mapping[str, Any], reference: Result | None) -> Sequence[float | None] | None:
    if verdict["mode"] == "genre":
        return GENRES[verdict["genre"]].third_octaves_db
    spectrum = (reference or {}).get("spectrum") or {}
    found: Sequence[float | None] | None = spectrum.get("thirdOctavesDb")
    return found


def _laid_through(levels: Sequence[float | None], curve: Sequence[float | None]) -> list[float | None] | None:
    differences = [a - b for a, b in zip(levels, curve, strict=True) if a is not None and b is not None]
    if not differences:
        return None
    move = median(differences)
    return [None if level is None else level + move for level in curve]


def _bar_colour(
    i: int, levels: Sequence[float | None], wanted: Sequence[float | None] | None, tolerances: Sequence[float]
) -> str:
    level, goal = levels[i], wanted[i] if wanted else None
    if level is None or goal is None or abs(level - goal) <= tolerances[i]:
        return SOUND
    return STATUS["yellow" if abs(level - goal) <= 2 * tolerances[i] else "red"]


_STEREO_RANGES = {
    "correlation": (-1.0, 1.0),
    "correlationLow": (-1.0, 1.0),
    "sideMidDb": (-24.0, 3.0),
    "balanceDb": (-4.0, 4.0),
    "monoLossDb": (0.0, 6.0),
}


def _stereo(axes: Axes, result: Result, locale: str) -> None:
    panel(axes, words("stereoField", locale))
    axes.set_xlim(0, 1)
    axes.set_ylim(len(_STEREO_RANGES) - 0.35, -0.65)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    judged = {c["metric"]: c for c in result["verdict"]["comparisons"]}
    for row, (metric, (low, high)) in enumerate(_STEREO_RANGES.items()):
        value = METRICS[metric].value(result)
        status = judged[metric]["status"] if metric in judged else None
        axes.text(0.04, row - 0.22, METRICS[metric].names[locale], color=FAINT, fontsize=9, va="center")
        decimals = 2 if metric.startswith("correlation") else 1
        written = quantity(value, METRICS[metric].unit, locale, decimals)
        axes.text(0.96, row - 0.22, written, color=INK, fontsize=10, weight="bold", ha="right", va="center")
        axes.plot((0.04, 0.96), (row + 0.16, row + 0.16), color=GRID, linewidth=5, solid_capstyle="round")
        if metric in judged:
            start, end = (_place(edge, low, high) for edge in _good(judged[metric], low, high))
            axes.plot(
                (start, end), (row + 0.16, row + 0.16), color=TARGET, alpha=0.45, linewidth=5, solid_capstyle="butt"
            )
        if value is not None:
            axes.plot(
                _place(value, low, high), row + 0.16, "o", color=STATUS[status], markersize=10, mec=GROUND, mew=1.5
            )


def _good(comparison: Mapping[str, Any], low: float, high: float) -> tuple[float, float]:
    target, tolerance, side = comparison["target"], comparison["tolerance"], comparison["side"]
    return (low if side == "ceiling" else target - tolerance, high if side == "floor" else target + tolerance)


def _place(value: float, low: float, high: float) -> float:
    return 0.04 + 0.92 * min(1.0, max(0.0, (value - low) / (high - low)))


def _against(verdict: Mapping[str, Any], locale: str) -> str:
    if verdict["mode"] == "reference":
        return verdict.get("referenceId") or words("theReference", locale)
    return GENRES[verdict["genre"]].names[locale]
