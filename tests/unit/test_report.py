"""The report of an analysis in a terminal, and its picture."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from analysis.verdict import judge, reduced
from analysis.verdict.tables import METRICS, PLATFORMS
from local.plot import plot
from local.report import render, render_many
from local.report_gauges import big_number, filled, gauge, sparkline
from local.report_words import length, quantity
from tests.unit.results import clipped, loud_master, quiet_acoustic, silence

ALL = [loud_master, quiet_acoustic, clipped, silence]


def judged(result: dict[str, Any], **options: Any) -> dict[str, Any]:
    return {**result, "verdict": judge(result, **options)}


def printed(result: dict[str, Any], *, width: int = 80, **options: Any) -> str:
    out = io.StringIO()
    render(result, Console(file=out, width=width), **options)
    return out.getvalue()


def words_of(text: str) -> str:
    return " ".join(text.replace("│", " ").split())


@pytest.mark.parametrize("width", [60, 80, 100, 160])
@pytest.mark.parametrize("locale", ["en", "pt-BR"])
@pytest.mark.parametrize("make", ALL)
def test_a_report_fits_its_width(make: Any, locale: str, width: int) -> None:
    text = printed(judged(make()), width=width, locale=locale, filename="a song.wav")
    assert max(cell_len(line) for line in text.splitlines()) <= width


@pytest.mark.parametrize("make", ALL)
def test_at_80_columns_no_value_is_cut_off(make: Any) -> None:
    assert "…" not in printed(judged(make()), filename="a song.wav")


def test_the_report_has_score_facts_values_bands_platforms_and_suggestions() -> None:
    result = judged(loud_master(), genre="edm")
    text = words_of(printed(result, width=110, filename="night.wav"))
    for expected in (
        "night.wav",
        "against EDM",
        "138.0 BPM",
        "F# minor (11A)",
        "-7.1 LUFS",
        result["verdict"]["grade"],
    ):
        assert expected in text
    for metric in ("Integrated loudness", "Sub 20-60 Hz", "Lost in mono"):
        assert metric in text
    assert all(platform["name"] in text for platform in PLATFORMS)
    titles = [text.index(s["title"]) for s in result["verdict"]["suggestions"]]
    assert titles == sorted(titles)


def test_the_report_speaks_portuguese_with_decimal_commas() -> None:
    text = words_of(printed(judged(loud_master(), genre="edm"), locale="pt-BR"))
    for expected in (
        "comparada com EDM",
        "-7,1 LUFS",
        "F# menor (11A)",
        "O que fazer, nesta ordem",
        "Baixe o teto do limiter",
    ):
        assert expected in text


def test_what_is_off_shows_without_colour() -> None:
    lines = printed(judged(loud_master(), genre="edm")).partition("Where it stands")[2].splitlines()
    row = {metric: next(line for line in lines if METRICS[metric].names["en"] in line) for metric in METRICS_SHOWN}
    assert [row[metric].strip()[0] for metric in METRICS_SHOWN] == ["!", "✗", "✓"]


METRICS_SHOWN = ("integratedLufs", "truePeakDbtp", "balanceDb")


def test_a_reduced_analysis_says_what_it_is() -> None:
    text = words_of(printed(reduced(judged(loud_master()))))
    assert "Reduced analysis: score, loudness and true peak only." in text
    assert "-7.1 LUFS 0.4 dBTP" in text
    assert "Tonal balance" not in text


def test_a_truncated_file_is_said_to_be_one() -> None:
    result = loud_master()
    result["file"]["truncated"] = True
    assert "The file ends early or is damaged" in words_of(printed(judged(result)))


def test_a_result_without_verdict_or_sections_is_reported_as_far_as_it_goes() -> None:
    whole = loud_master()
    assert "-7.1 LUFS" in printed({"file": whole["file"], "loudness": whole["loudness"]})
    assert "WAV" in printed(judged({"file": whole["file"]}))


def test_a_24_bit_file_that_carries_16_is_said_to_be_one() -> None:
    result = loud_master()
    result["file"]["effectiveBitDepth"] = 16
    assert "24 bit (16 used)" in printed(judged(result))


def test_silence_is_not_told_to_ship() -> None:
    text = words_of(printed(judged(silence())))
    assert "no score" in text
    assert "Too little could be measured to advise." in text


def test_a_faulty_reference_is_pointed_out() -> None:
    text = words_of(printed(judged(loud_master(), reference=clipped(), reference_id="ref.wav")))
    assert "against ref.wav" in text
    assert "The reference itself is out of line in: True peak" in text


def test_a_name_with_brackets_is_printed_as_it_is() -> None:
    assert "[bold]x[/].wav" in printed(judged(loud_master()), filename="[bold]x[/].wav")


def test_several_results_stand_side_by_side_with_what_to_do_first() -> None:
    out = io.StringIO()
    results = [(f"{make.__name__}.wav", judged(make())) for make in ALL]
    render_many(results, Console(file=out, width=110), locale="en")
    lines = out.getvalue().splitlines()
    assert any(all(name in line for name in ("loud_master", "quiet_acoustic", "clipped", "silence")) for line in lines)
    assert any("-7.1 LUFS" in line and "-20.0 LUFS" in line for line in lines)
    assert any("clipped.wav: first: The waveform is clipped" in line for line in lines)


def test_more_results_than_fit_go_on_below() -> None:
    out = io.StringIO()
    render_many([(f"{i}.wav", judged(loud_master())) for i in range(7)], Console(file=out, width=80), locale="en")
    assert max(cell_len(line) for line in out.getvalue().splitlines()) <= 80
    assert all(f"{i}.wav" in out.getvalue() for i in range(7))


@given(st.floats(-1000, 1000), st.sampled_from(["both", "ceiling", "floor"]), st.sampled_from([13, 21, 33]))
def test_a_gauge_always_shows_where_the_value_stands(position: float, side: str, width: int) -> None:
    drawn = gauge(position, side, width)
    assert len(drawn) == width
    assert sum(drawn.count(sign) for sign in "●◀▶") == 1


def test_a_gauge_puts_the_target_in_the_middle_and_its_tolerance_around_it() -> None:
    assert gauge(4, "both", 17) == "······━━┃━━·····●"
    assert gauge(-9, "both", 17) == "◀·····━━┃━━······"
    assert gauge(1, "ceiling", 17) == "━━━━━━━━┃━●······"
    assert gauge(0, "floor", 17) == "······━━●━━━━━━━━"


@given(st.floats(-1, 2), st.integers(1, 60))
def test_a_bar_keeps_its_width(share: float, width: int) -> None:
    assert len(filled(share, width)) == width


def test_big_digits_are_three_rows_high() -> None:
    assert big_number(71) == "▀▀█ ▀█ \n  █  █ \n  ▀ ▀▀▀"


def test_a_sparkline_shows_the_shape_of_the_track() -> None:
    assert sparkline([-30, -20, -14, -8, None, -8], 6) == "▂▅▆█ █"
    assert sparkline([None, None], 2) == ""


def test_numbers_and_lengths_are_written_as_people_write_them() -> None:
    assert quantity(-0.04, "dB", "en") == "0.0 dB"
    assert quantity(3.25, "", "pt-BR", 2) == "3,25"
    assert quantity(None, "dB", "en") == "–"
    assert quantity(4, "dB", "en", signed=True) == "+4.0 dB"
    assert (length(214.6), length(3_725)) == ("3:35", "1:02:05")


@pytest.mark.parametrize("make", ALL)
def test_every_result_can_be_drawn(make: Any, tmp_path: Path) -> None:
    picture = tmp_path / "analysis.png"
    plot(judged(make()), picture, filename="a very long name of a song that goes on and on and on.wav")
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_result_is_drawn_against_its_reference(tmp_path: Path) -> None:
    picture = tmp_path / "analysis.svg"
    result = judged(loud_master(), reference=quiet_acoustic(), reference_id="ref.wav")
    plot(result, picture, reference=quiet_acoustic(), locale="pt-BR")
    assert picture.read_text(encoding="utf-8").lstrip().startswith("<?xml")


def test_what_was_not_measured_is_left_blank_in_the_picture(tmp_path: Path) -> None:
    whole = loud_master()
    picture = tmp_path / "analysis.png"
    plot(judged({"file": whole["file"], "loudness": {"integratedLufs": -9.0}}), picture)
    assert picture.read_bytes().startswith(b"\x89PNG")
