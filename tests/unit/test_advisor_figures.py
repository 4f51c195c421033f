"""The number check: an invented figure is found, a measured one is let through."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.facts import NamedAnalysis
from assistant.figures import NumberCheck, figures

ANALYSIS = {
    "loudness": {"integratedLufs": -11.24, "truePeakDbtp": 0.43},
    "spectrum": {"bands": {"lowMid": -14.5}},
    "rhythm": {"tempoBpm": 138.02, "alternativesBpm": [69.01]},
    "verdict": {
        "score": 60,
        "comparisons": [
            {"metric": "integratedLufs", "value": -11.24, "target": -8.5, "tolerance": 1, "status": "red"},
            {"metric": "truePeakDbtp", "value": 0.43, "target": -1.0, "tolerance": 0.5, "status": "red"},
        ],
    },
}
TRACK = NamedAnalysis("a.wav", "track", ANALYSIS)
ENGLISH = NumberCheck([TRACK], "en")
PORTUGUESE = NumberCheck([TRACK], "pt-BR")


@pytest.mark.parametrize(
    "text",
    [
        "The loudness is -11.2 LUFS, the target -8.5 LUFS, 2.7 LU apart.",
        "True peak 0.43 dBTP is 1.4 dB over -1 dBTP.",
        "138 BPM, or 69 BPM.",
        "Cut 2 to 3 dB at 250 to 400 Hz, Q 1.4.",  # settings of the table
        "Ratio 4:1, attack 10 ms.",
        "Cut 2.5 dB.",  # within a span of the table
        "It plays 2.8 dB lower on a service at -14 LUFS.",
        "1. first\n2. second\n3. third\n47. last",
        "The file “at -3.3 LUFS and 999 Hz.wav” is measured as BS.1770 has it.",
    ],
)
def test_measured_values_targets_differences_and_settings_pass(text: str) -> None:
    assert not ENGLISH.untraceable(text)


@pytest.mark.parametrize(
    ("text", "invented"),
    [
        ("Your loudness is -9.7 LUFS.", "-9.7 LUFS"),
        ("Your loudness is 11.2 LUFS.", "11.2 LUFS"),  # a level keeps its sign
        ("The kick sits at 57.3 Hz.", "57.3 Hz"),
        ("Cut 11.5 dB there.", "11.5 dB"),
        ("Attack 900 ms.", "900 ms"),
        ("A ratio of 7:1.", "7:1"),
        ("Use Q 6.3.", "Q 6.3"),
        ("It runs at 174 BPM.", "174 BPM"),
        ("The target is -7 LUFS.", "-7 LUFS"),
        ("The peak is 0.43 LUFS.", "0.43 LUFS"),  # the right number with another unit
    ],
)
def test_an_invented_figure_is_found(text: str, invented: str) -> None:
    assert [f.text for f in ENGLISH.untraceable(text)] == [invented]


def test_portuguese_figures_have_a_comma() -> None:
    assert not PORTUGUESE.untraceable("O loudness é -11,2 LUFS, alvo -8,5 LUFS; corte 2 a 3 dB com Q 1,4.")
    assert [f.text for f in PORTUGUESE.untraceable("O loudness é -9,7 LUFS.")] == ["-9,7 LUFS"]


def test_a_figure_says_where_it_stands_so_that_it_can_be_struck() -> None:
    text = "It is at -9.7 LUFS now."
    (found,) = ENGLISH.untraceable(text)
    assert text[found.start : found.end].strip() == "-9.7 LUFS"


def test_numbers_without_a_unit_are_looked_at_on_demand() -> None:
    text = "It scores 60 of 100, not 73."
    assert not ENGLISH.untraceable(text)
    assert [f.text for f in ENGLISH.untraceable(text, with_bare_numbers=True)] == ["73"]


@given(st.floats(-60, 20).map(lambda v: round(v, 1)))
def test_a_level_passes_only_when_something_vouches_for_it(level: float) -> None:
    text = f"The loudness is {level:.1f} LUFS."
    vouched = {-11.2, -8.5, -14.0, -16.0, -15.0, -9.0, -23.0}
    assert (not ENGLISH.untraceable(text)) == (round(level, 1) in vouched)


@given(st.text(max_size=300))
def test_any_text_can_be_read(text: str) -> None:
    for figure in figures(text, with_bare_numbers=True):
        assert 0 <= figure.start < figure.end <= len(text)
