"""The verdict compares a track with a genre or with another track, value by value."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.engine import analyse
from analysis.verdict import GENRES, judge, reduced
from tests.unit.results import clipped, loud_master, quiet_acoustic, silence

BANDS = ("sub", "bass", "lowMid", "mid", "highMid", "presence", "air")


def comparison(verdict: dict[str, Any], metric: str) -> dict[str, Any]:
    found: dict[str, Any] = next(c for c in verdict["comparisons"] if c["metric"] == metric)
    return found


def as_the_genre_wants(genre: str) -> dict[str, Any]:
    """A result with every value on the genre's target."""
    result, wanted = loud_master(), GENRES[genre]
    result["loudness"]["truePeakDbtp"] = -1.2
    result["loudness"]["integratedLufs"] = wanted.targets["integratedLufs"].value
    result["loudness"]["rangeLu"] = wanted.targets["rangeLu"].value
    result["dynamics"]["drDb"] = wanted.targets["drDb"].value
    result["stereo"]["sideMidDb"] = wanted.targets["sideMidDb"].value
    result["spectrum"]["bands"] = dict(wanted.bands_db)
    return result


@pytest.mark.parametrize("genre", GENRES)
def test_a_track_on_its_genres_targets_is_all_green_and_scores_100(genre: str) -> None:
    verdict = judge(as_the_genre_wants(genre), genre=genre)
    assert {c["status"] for c in verdict["comparisons"]} == {"green"}
    assert (verdict["mode"], verdict["genre"], verdict["score"]) == ("genre", genre, 100)
    assert (verdict["grade"], verdict["suggestions"]) == ("excellent", [])


def test_without_a_genre_a_track_is_judged_as_pop() -> None:
    assert judge(loud_master()) == judge(loud_master(), genre="pop")


def test_a_comparison_carries_value_target_tolerance_difference_and_colour() -> None:
    assert comparison(judge(loud_master(), genre="edm"), "integratedLufs") == {
        **{"metric": "integratedLufs", "part": "loudness", "unit": "LUFS", "side": "both"},
        **{"value": -7.1, "target": -8.5, "tolerance": 1.0, "delta": 1.4, "status": "yellow"},
    }


@pytest.mark.parametrize(
    ("lufs", "status"), [(-9.5, "green"), (-7.5, "green"), (-9.6, "yellow"), (-10.5, "yellow"), (-10.6, "red")]
)
def test_colours_change_exactly_at_the_tolerance_and_at_twice_it(lufs: float, status: str) -> None:
    result = loud_master()
    result["loudness"]["integratedLufs"] = lufs
    assert comparison(judge(result, genre="edm"), "integratedLufs")["status"] == status


@pytest.mark.parametrize(("dbtp", "status"), [(-9.0, "green"), (-1.0, "green"), (-0.2, "yellow"), (0.1, "red")])
def test_true_peak_is_a_ceiling_of_minus_1_and_red_above_full_scale(dbtp: float, status: str) -> None:
    result = loud_master()
    result["loudness"]["truePeakDbtp"] = dbtp
    assert comparison(judge(result), "truePeakDbtp")["status"] == status


@given(st.floats(-30, 10))
def test_the_level_of_a_track_does_not_change_its_tonal_balance(gain_db: float) -> None:
    result = loud_master()
    before = judge(result, genre="trap")
    result["spectrum"]["bands"] = {band: level + gain_db for band, level in result["spectrum"]["bands"].items()}
    after = judge(result, genre="trap")
    for band in BANDS:
        assert comparison(after, band)["delta"] == pytest.approx(comparison(before, band)["delta"], abs=0.011)


@pytest.mark.parametrize("band", BANDS)
def test_one_boosted_band_is_found_and_the_others_stay_green(band: str) -> None:
    result = as_the_genre_wants("rock")
    result["spectrum"]["bands"][band] += 12
    verdict = judge(result, genre="rock")
    assert [c["metric"] for c in verdict["comparisons"] if c["status"] != "green"] == [band]


@pytest.mark.parametrize("make", [loud_master, quiet_acoustic, clipped])
def test_a_track_compared_with_itself_matches_in_every_value(make: Any) -> None:
    verdict = judge(make(), reference=make(), reference_id="t1")
    assert (verdict["mode"], verdict["referenceId"], verdict["score"]) == ("reference", "t1", 100)
    assert "genre" not in verdict
    assert {c["status"] for c in verdict["comparisons"]} == {"green"}


def test_a_reference_sets_the_targets_metric_by_metric() -> None:
    verdict = judge(quiet_acoustic(), reference=loud_master())
    for metric, target in (("integratedLufs", -7.1), ("drDb", 6.4), ("plrDb", 7.5), ("sideMidDb", -9.4)):
        assert comparison(verdict, metric)["target"] == target
    assert "louder" not in str([s["title"] for s in verdict["suggestions"]])


def test_a_reference_far_below_the_ceiling_does_not_lower_it() -> None:
    reference = quiet_acoustic()
    track = loud_master()
    track["loudness"]["truePeakDbtp"] = -1.3
    assert comparison(judge(track, reference=reference), "truePeakDbtp")["status"] == "green"


def test_a_faulty_reference_is_matched_but_its_faults_are_named() -> None:
    notes = judge(loud_master(), reference=clipped())["notes"]
    assert notes["reference.truePeakDbtp"] == "the reference itself is at 3.1, the rule is -1"
    assert "reference.clippingSamples" in notes
    assert not any(key.startswith("reference.") for key in judge(loud_master(), reference=quiet_acoustic())["notes"])


def test_values_that_the_reference_lacks_are_not_compared() -> None:
    reference = loud_master()
    reference["stereo"] = dict.fromkeys(reference["stereo"])
    verdict = judge(quiet_acoustic(), reference=reference)
    assert not [c for c in verdict["comparisons"] if c["part"] == "stereo"]
    assert verdict["parts"]["stereo"]["score"] is None


@settings(max_examples=40)
@given(st.data())
def test_any_value_may_be_missing(data: st.DataObject) -> None:
    result: dict[str, Any] = data.draw(st.sampled_from([loud_master, quiet_acoustic, clipped, silence]))()
    for section in ("loudness", "dynamics", "stereo", "spectrum"):
        for key in data.draw(st.sets(st.sampled_from(sorted(result[section])))):
            result[section][key] = None
    verdict = judge(result, genre="edm", reference=data.draw(st.sampled_from([None, loud_master(), silence()])))
    json.dumps(verdict, allow_nan=False)
    judged = {c["metric"] for c in verdict["comparisons"]}
    assert judged.isdisjoint(key for key in verdict["notes"] if verdict["notes"][key].startswith("not judged"))


def test_a_missing_values_reason_is_the_engines() -> None:
    result = loud_master()
    result["stereo"]["correlation"] = None
    result["notes"] = {"stereo.correlation": "the track is mono"}
    assert judge(result)["notes"] == {"correlation": "not judged: the track is mono"}


@pytest.mark.parametrize("sound", ["noise", "silence"])
def test_the_engines_results_have_the_keys_of_the_examples_and_are_judged(sound: str, tmp_path: Path) -> None:
    samples = np.random.default_rng(1).normal(0, 0.1, (88_200, 2)) * (sound == "noise")
    soundfile.write(tmp_path / "sound.wav", samples, 44_100)
    result = analyse(tmp_path / "sound.wav")
    assert keys(result) == keys(loud_master() if sound == "noise" else silence())
    assert (judge(result)["score"] is None) == (sound == "silence")


def keys(node: Any, path: str = "") -> set[str]:
    if not isinstance(node, dict) or path == ".notes":
        return {path}
    return {key for name, child in node.items() for key in keys(child, f"{path}.{name}")}


def test_judging_leaves_the_result_as_it_was() -> None:
    result = clipped()
    before = copy.deepcopy(result)
    judge(result, genre="trap", reference=loud_master())
    assert result == before


def test_the_reduced_analysis_has_score_loudness_and_true_peak_and_says_what_it_withholds() -> None:
    full = {**loud_master(), "verdict": judge(loud_master(), genre="edm")}
    view = reduced(full)
    assert view["reduced"] is True
    assert view["loudness"] == {"integratedLufs": -7.1, "truePeakDbtp": 0.4}
    assert view["verdict"]["score"] == full["verdict"]["score"]
    assert view["file"] == full["file"]
    for withheld in (
        "dynamics",
        "stereo",
        "spectrum",
        "loudness.rangeLu",
        "verdict.suggestions",
        "verdict.comparisons",
    ):
        assert withheld in view["withheld"]
    shown = {*view, *(f"{s}.{key}" for s in ("loudness", "verdict") for key in view[s])}
    assert shown.isdisjoint(view["withheld"])
