"""Suggestions say what to do, from which value to which, in the order in which it is worth doing."""

from __future__ import annotations

from typing import Any

import pytest

from analysis.verdict import GENRES, judge
from analysis.verdict.tables import METRICS
from tests.unit.results import clipped, loud_master, quiet_acoustic


def suggestions(result: dict[str, Any], genre: str = "edm") -> dict[str, dict[str, Any]]:
    return {s["metric"]: s for s in judge(result, genre=genre)["suggestions"]}


def test_clipping_and_true_peak_come_first_then_loudness_frequencies_dynamics_and_stereo() -> None:
    order = [
        "clipping" if s["metric"] in ("clippingSamples", "truePeakDbtp") else METRICS[s["metric"]].part
        for s in judge(clipped(), genre="edm")["suggestions"]
    ]
    groups = {"clipping": 0, "loudness": 1, "frequencies": 2, "dynamics": 3, "stereo": 3, "technical": 4}
    ranks = [groups[part] for part in order]
    assert ranks == sorted(ranks)
    assert set(ranks) == {0, 1, 2, 3, 4}


def test_priorities_count_from_one() -> None:
    found = judge(clipped(), genre="edm")["suggestions"]
    assert [s["priority"] for s in found] == list(range(1, len(found) + 1))


def test_each_deviation_gets_one_suggestion_and_nothing_else_does() -> None:
    verdict = judge(clipped(), genre="edm")
    off = {c["metric"] for c in verdict["comparisons"] if c["status"] != "green"}
    assert {s["metric"] for s in verdict["suggestions"]} == off


def test_a_hot_true_peak_means_a_lower_ceiling() -> None:
    peak = suggestions(loud_master())["truePeakDbtp"]
    assert peak["action"].startswith("Lower the limiter's ceiling to -1.0 dBTP, from the 0.4 it reaches now")
    assert peak["actionPt"].startswith("Baixe o teto do limiter para -1,0 dBTP, hoje ele chega a 0,4")
    assert (peak["valueFrom"], peak["valueTo"]) == (0.4, -1.0)


def test_too_loud_means_less_into_the_limiter() -> None:
    loud = suggestions(loud_master())["integratedLufs"]
    assert loud["action"].startswith("Turn the limiter's input down by 1.4 dB, from -7.1 to -8.5 LUFS.")


@pytest.mark.parametrize(
    ("true_peak", "what_to_do"),
    [
        (
            -8.0,
            "Turn the master up by 6.0 dB, from -20.0 to -14.0 LUFS. There is room: the true peak lands at -2.0 dBTP",
        ),
        (-5.0, "Push the limiter's input by 6.0 dB"),
        (-2.0, "Raise it by 6.0 dB, from -20.0 to -14.0 LUFS, in stages: the peaks must come down by about 5.0 dB"),
        (None, "Push the limiter's input by 6.0 dB"),
    ],
)
def test_too_quiet_is_raised_as_its_headroom_allows(true_peak: float | None, what_to_do: str) -> None:
    result = quiet_acoustic()
    result["loudness"]["truePeakDbtp"] = true_peak
    assert suggestions(result, "acoustic")["integratedLufs"]["action"].startswith(what_to_do)


def test_a_band_off_balance_gets_an_equaliser_move_at_its_place() -> None:
    result = loud_master()
    result["spectrum"]["bands"] = dict(GENRES["pop"].bands_db)
    result["spectrum"]["bands"]["air"] += 6.0
    air = suggestions(result, "pop")["air"]
    assert air["title"] == "Too much air (8-20 kHz)"
    assert air["action"].startswith("On the master: high shelf at 8 kHz, -4.0 dB. The band stands 6.0 dB above pop")
    assert "high shelf em 8 kHz, -4,0 dB" in air["actionPt"]


def test_a_band_far_off_sends_one_back_to_the_mix() -> None:
    result = loud_master()
    result["spectrum"]["bands"] = dict(GENRES["pop"].bands_db)
    result["spectrum"]["bands"]["bass"] -= 9.0
    assert (
        "is a matter for the mix: check the bass and the body of the kick"
        in suggestions(result, "pop")["bass"]["action"]
    )


def test_the_advice_takes_its_numbers_from_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    result = loud_master()
    result["spectrum"]["bands"] = dict(GENRES["pop"].bands_db)
    result["spectrum"]["bands"]["bass"] += 6.0
    assert "Q 0.8), -4.0 dB" in suggestions(result, "pop")["bass"]["action"]
    others = {"eqMostDb": 5.0, "eqStepDb": 0.5, "eqQ": 1.4, "deepLimitingFromDb": 5.5}
    monkeypatch.setattr("analysis.verdict.suggestions.ADVICE", others)
    assert "Q 1.4), -5.0 dB" in suggestions(result, "pop")["bass"]["action"]
    quiet = quiet_acoustic()
    quiet["loudness"]["truePeakDbtp"] = -2.0
    assert suggestions(quiet, "acoustic")["integratedLufs"]["action"].startswith("Push the limiter's input by 6.0 dB")


def test_nobody_is_told_to_boost_the_sub_of_a_guitar() -> None:
    assert "sub" not in suggestions(quiet_acoustic(), "acoustic")


def test_clipping_says_how_many_samples_and_where_it_starts() -> None:
    action = suggestions(clipped())["clippingSamples"]["action"]
    assert action.startswith("18211 samples are cut off at full scale, the first at 0:01.5.")


def test_samples_beyond_full_scale_are_not_called_cut_off() -> None:
    result = clipped()
    result["loudness"]["samplePeakDbfs"] = 1.8
    over = suggestions(result)["clippingSamples"]
    assert over["title"] == "Samples beyond full scale"
    assert "18211 samples reach up to 1.8 dBFS, the first at 0:01.5" in over["action"]


def test_a_dead_channel_is_one_fault_and_not_five() -> None:
    result = loud_master()
    result["stereo"] |= {"balanceDb": 60.0, "correlation": None, "correlationLow": 0.0, "monoLossDb": 3.01}
    result["stereo"] |= {"sideMidDb": 0.0, "deadChannels": ["right"]}
    found = {m: s for m, s in suggestions(result).items() if METRICS[m].part == "stereo"}
    assert [s["title"] for s in found.values()] == ["The right channel is silent"]
    assert found["balanceDb"]["action"].startswith("Only the left channel carries sound")


def test_no_sentence_has_an_unfilled_field_and_each_has_its_portuguese_twin() -> None:
    for genre in GENRES:
        for make in (loud_master, quiet_acoustic, clipped):
            for s in [*judge(make(), genre=genre)["suggestions"], *judge(make(), reference=clipped())["suggestions"]]:
                for sentence in (s["title"], s["action"], s["titlePt"], s["actionPt"]):
                    assert sentence
                    assert "{" not in sentence
                assert s["action"] != s["actionPt"]
