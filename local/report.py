"""The report of an analysis in a terminal: the score, where the track stands, what the platforms do, what to change.

It reads without colour (each colour has its sign) and fits the console's width, 60 columns and up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from analysis.verdict.tables import GENRES, METRICS, SCORING
from local.report_gauges import big_number, filled, gauge, sparkline
from local.report_words import length, quantity, words

Result = Mapping[str, Any]

COLOURS = {"green": "green", "yellow": "yellow", "red": "bold red"}
SIGNS = {"green": "✓", "yellow": "!", "red": "✗"}
MOST_SUGGESTIONS = 6
_ROOMY, _NARROW = 90, 76
_WIDEST = 110


def render(result: Result, console: Console, *, locale: str = "en", filename: str | None = None) -> None:
    """Prints the report of one result, with or without its `verdict`, full or reduced."""
    width = min(console.width, _WIDEST)
    sections = [
        _head(result, locale, filename),
        _tonal_balance(result, locale, width),
        _comparisons(result, locale, width),
        _platforms(result, locale, width),
        _suggestions(result, locale),
        _remarks(result, locale),
    ]
    console.print(Group(*(section for section in sections if section is not None)), width=width)


def render_many(results: Sequence[tuple[str, Result]], console: Console, *, locale: str = "en") -> None:
    """Prints several results side by side, in as many tables as the width needs."""
    columns = max(1, (console.width - 26) // 15)
    for start in range(0, len(results), columns):
        console.print(_side_by_side(results[start : start + columns], locale))
    for name, result in results:
        found = (result.get("verdict") or {}).get("suggestions")
        if found:
            first = found[0]["titlePt" if locale == "pt-BR" else "title"]
            console.print(
                Text(f" {name}: ", style="bold").append(words("first", locale, title=first), style="not bold")
            )


def _head(result: Result, locale: str, filename: str | None) -> Panel:
    verdict = result.get("verdict") or {}
    body = Table.grid(padding=(0, 3))
    body.add_column(no_wrap=True)
    body.add_column(ratio=1)
    body.add_row(_score(verdict, locale), Group(*_facts(result, locale)))
    content: RenderableType = body
    if verdict.get("parts"):
        content = Group(body, Text(), _parts(verdict["parts"], locale))
    title = Text(f" {filename} " if filename else f" {words('report', locale)} ", style="bold")
    return Panel(
        content, title=title, title_align="left", border_style=_score_colour(verdict.get("score")), padding=(1, 2)
    )


def _score(verdict: Mapping[str, Any], locale: str) -> Text:
    score = verdict.get("score")
    if score is None:
        return Text(words("noScore", locale), style="dim")
    text = Text(big_number(score), style=_score_colour(score))
    grade = verdict.get("gradePt" if locale == "pt-BR" else "grade") or ""
    return text.append(f"\n{grade}", style="bold")


def _score_colour(score: int | None) -> str:
    if score is None:
        return "dim"
    return "green" if score >= 75 else "yellow" if score >= 60 else "red"


def _facts(result: Result, locale: str) -> list[Text]:
    file, verdict = result["file"], result.get("verdict") or {}
    against = words("against", locale, name=_against(verdict, locale)) if verdict else ""
    form = [
        file["format"],
        f"{file['sampleRateHz'] / 1000:g} kHz",
        _bits(file, locale),
        {1: "mono", 2: "stereo"}.get(file["channels"], f"{file['channels']} ch"),
        length(file["durationS"]),
    ]
    lines = [Text(against, style="italic"), Text(" · ".join(part for part in form if part), style="dim")]
    lines.append(Text("   ".join(_music(result, locale))))
    series = (result.get("loudness") or {}).get("shortTermSeries")
    if series:
        lines.append(Text(sparkline(_levels(series), 40), style="cyan", no_wrap=True))
    return [line for line in lines if line.plain]


def _bits(file: Mapping[str, Any], locale: str) -> str | None:
    bits, used = file.get("bitDepth"), file.get("effectiveBitDepth")
    if not bits or used in (None, bits):
        return words("bits", locale, bits=str(bits)) if bits else None
    return words("bitsUsed", locale, bits=str(bits), used=str(used))


def _against(verdict: Mapping[str, Any], locale: str) -> str:
    if verdict["mode"] == "reference":
        return verdict.get("referenceId") or words("theReference", locale)
    return GENRES[verdict["genre"]].names[locale]


def _music(result: Result, locale: str) -> list[str]:
    loudness, rhythm, tonality = (result.get(s) or {} for s in ("loudness", "rhythm", "tonality"))
    found = [
        quantity(loudness.get("integratedLufs"), "LUFS", locale),
        quantity(loudness.get("truePeakDbtp"), "dBTP", locale),
        quantity(rhythm.get("tempoBpm"), "BPM", locale),
    ]
    if tonality.get("key"):
        found.append(f"{tonality['key']} {words(tonality['mode'], locale)} ({tonality['camelot']})")
    return [part for part in found if part != "–"]


def _levels(series: Any) -> list[float | None]:
    levels: list[float | None] = series["lufs"]
    return levels


def _parts(parts: Mapping[str, Mapping[str, Any]], locale: str) -> Table:
    table = Table.grid(padding=(0, 2), expand=False)
    for _ in range(3):
        table.add_column(no_wrap=True)
    for part, found in parts.items():
        score, weight = found["score"], found["weight"]
        if score is None:
            table.add_row(SCORING["partNames"][part][locale], Text(words("leftOut", locale), style="dim"), "")
            continue
        colour = _score_colour(score)
        points = f"{quantity(score * weight / 100, '', locale)} / {weight}"
        table.add_row(SCORING["partNames"][part][locale], Text(filled(score / 100, 24), style=colour), points)
    return table


def _titled(title: str, content: RenderableType) -> Group:
    return Group(Text(), Rule(Text(title, style="bold"), align="left", style="dim"), Padding(content, (0, 1)))


def _comparisons(result: Result, locale: str, width: int) -> RenderableType | None:
    rows = [c for c in _judged(result) if c["part"] != "frequencies"]
    return _titled(words("values", locale), _gauges(rows, locale, width)) if rows else None


def _tonal_balance(result: Result, locale: str, width: int) -> RenderableType | None:
    rows = [c for c in _judged(result) if c["part"] == "frequencies"]
    return _titled(words("tonalBalance", locale), _gauges(rows, locale, width)) if rows else None


def _judged(result: Result) -> list[dict[str, Any]]:
    return (result.get("verdict") or {}).get("comparisons") or []


def _gauges(comparisons: Sequence[Mapping[str, Any]], locale: str, width: int) -> Table:
    size = 33 if width >= _ROOMY else 21 if width >= _NARROW else 13
    table = Table.grid(padding=(0, 1))
    for column in range(5 if width >= _NARROW else 4):
        table.add_column(justify="right" if column == 2 else "left", no_wrap=True)
    for c in comparisons:
        colour, decimals = COLOURS[c["status"]], _decimals(c["metric"])
        cells = [
            Text(SIGNS[c["status"]], style=colour),
            Text(METRICS[c["metric"]].names[locale]),
            Text(quantity(c["value"], "", locale, decimals), style=colour),
            Text(gauge(c["delta"] / c["tolerance"], c["side"], size), style=colour),
            Text(_wanted(c, locale), style="dim"),
        ]
        table.add_row(*cells[: len(table.columns)])
    return table


def _wanted(c: Mapping[str, Any], locale: str) -> str:
    decimals = _decimals(c["metric"])
    target, tolerance = (quantity(c[key], "", locale, decimals) for key in ("target", "tolerance"))
    before, after = {"both": ("", " ± {}"), "ceiling": ("≤ ", " (+{})"), "floor": ("≥ ", " (-{})")}[c["side"]]
    unit = f" {c['unit']}" if c["unit"] else ""
    return f"{before}{target}{unit}{after.format(tolerance)}"


def _decimals(metric: str) -> int:
    return {"dcOffset": 4, "correlation": 2, "correlationLow": 2, "clippingSamples": 0}.get(metric, 1)


def _platforms(result: Result, locale: str, width: int) -> RenderableType | None:
    rows = (result.get("verdict") or {}).get("platforms")
    if not rows or rows[0]["playsAtLufs"] is None:
        return None
    table = Table.grid(padding=(0, 2))
    for column in range(3):
        table.add_column(justify="right" if column else "left", no_wrap=True)
    table.add_column(ratio=1)
    heads = (words(key, locale) for key in ("platform", "gain", "playsAt"))
    table.add_row(*(Text(head, style="dim") for head in heads))
    for row in rows:
        note = row["notePt" if locale == "pt-BR" else "note"] if width >= _NARROW else ""
        gain = quantity(row["gainDb"], "dB", locale, signed=True)
        table.add_row(row["name"], gain, quantity(row["playsAtLufs"], "LUFS", locale), Text(note, style="dim"))
    return _titled(words("platforms", locale), table)


def _suggestions(result: Result, locale: str) -> RenderableType | None:
    found = (result.get("verdict") or {}).get("suggestions")
    if found is None:
        return None
    if not found:
        judged = result["verdict"]["score"] is not None
        return _titled(words("suggestions", locale), Text(words("nothingToDo" if judged else "nothingKnown", locale)))
    title, action = ("titlePt", "actionPt") if locale == "pt-BR" else ("title", "action")
    table = Table.grid(padding=(0, 1))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(ratio=1)
    for s in found[:MOST_SUGGESTIONS]:
        head = Text(s[title], style="bold").append(f" {SIGNS[s['status']]}", style=COLOURS[s["status"]])
        table.add_row(f"{s['priority']}.", Group(head, Text(s[action]), Text()))
    rest = found[MOST_SUGGESTIONS:]
    if rest:
        titles = "; ".join(s[title] for s in rest)
        table.add_row("", Text(words("andThen", locale, titles=titles), style="dim"))
    return _titled(words("suggestions", locale), table)


def _remarks(result: Result, locale: str) -> RenderableType | None:
    remarks = []
    if result["file"].get("truncated"):
        remarks.append(words("truncated", locale))
    if result.get("reduced"):
        remarks.append(words("reduced", locale))
    notes = (result.get("verdict") or {}).get("notes") or {}
    if any(note.startswith("reference.") for note in notes):
        faults = ", ".join(
            METRICS[n.removeprefix("reference.")].names[locale] for n in notes if n.startswith("reference.")
        )
        remarks.append(words("referenceFaults", locale, faults=faults))
    return Padding(Text("\n".join(remarks), style="yellow"), (1, 1, 0, 1)) if remarks else None


def _side_by_side(results: Sequence[tuple[str, Result]], locale: str) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    table.add_column("", no_wrap=True)
    for name, _ in results:
        table.add_column(Text(name, overflow="ellipsis"), justify="right", max_width=18)
    table.add_row(words("score", locale), *(_score_cell(result, locale) for _, result in results), end_section=True)
    shown = [m for m in METRICS if any(METRICS[m].value(result) is not None for _, result in results)]
    for metric in shown:
        table.add_row(METRICS[metric].names[locale], *(_cell(metric, result, locale) for _, result in results))
    table.add_row(words("tempo", locale), *(_tempo_cell(result, locale) for _, result in results))
    table.add_row(words("key", locale), *(_key_cell(result, locale) for _, result in results))
    return table


def _score_cell(result: Result, locale: str) -> Text:
    verdict = result.get("verdict") or {}
    score = verdict.get("score")
    if score is None:
        return Text("–")
    grade = verdict.get("gradePt" if locale == "pt-BR" else "grade")
    return Text(f"{score}\n{grade}", style=f"bold {_score_colour(score)}")


def _cell(metric: str, result: Result, locale: str) -> Text:
    value = quantity(METRICS[metric].value(result), METRICS[metric].unit, locale, _decimals(metric))
    status = next((c["status"] for c in _judged(result) if c["metric"] == metric), None)
    if status is None:
        return Text(f"{value}  ")
    return Text(f"{value} {SIGNS[status]}", style=COLOURS[status])


def _tempo_cell(result: Result, locale: str) -> str:
    return quantity((result.get("rhythm") or {}).get("tempoBpm"), "BPM", locale) + "  "


def _key_cell(result: Result, locale: str) -> str:
    tonality = result.get("tonality") or {}
    return (
        f"{tonality['key']} {words(tonality['mode'], locale)} {tonality['camelot']}  " if tonality.get("key") else "–  "
    )
