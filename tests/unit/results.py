"""Results of the engine as a producer's files would give them, for tests that need one and no audio.

Each call gives a fresh dictionary, complete in the keys of design.md but for `verdict`.
"""

from __future__ import annotations

import math
from typing import Any

_STEREO = ("correlation", "correlationLow", "widthPercent", "balanceDb", "monoLossDb", "sideMidDb")
_BANDS = ("sub", "bass", "lowMid", "mid", "highMid", "presence", "air")


def loud_master() -> dict[str, Any]:
    """A club master with three faults: too hot a true peak, a boomy low mid, and a little too loud."""
    return _result(
        file={"format": "WAV", "codec": "PCM_24", "bitDepth": 24, "durationS": 214.6, "sizeBytes": 56_784_044},
        loudness=(-7.1, 5.2, -4.6, -5.4, 0.4, 0.0, 7.5, 6.1),
        dynamics=(-8.3, 8.3, 6.4, 0.00002, (4, 1, 63.2, [63.2]), (0.02, 0.6)),
        stereo=(0.71, 0.97, 32.0, 0.2, 0.7, -9.4),
        bands=(-6.8, -3.6, -5.2, -9.8, -15.6, -18.4, -21.0),
        rhythm=(138.0, 0.92, [69.0, 276.0], 7.9),
        tonality=("F#", "minor", "11A", 0.81, 2.0),
    )


def quiet_acoustic() -> dict[str, Any]:
    """An unmastered guitar and voice: quiet, dynamic, room to turn it up."""
    return _result(
        file={"format": "FLAC", "codec": "PCM_16", "bitDepth": 16, "durationS": 187.3, "sizeBytes": 19_120_007},
        loudness=(-20.0, 9.4, -14.2, -15.9, -5.0, -5.2, 15.0, 12.4),
        dynamics=(-22.1, 17.1, 13.8, 0.0, (0, 0, None, []), (0.4, 2.1)),
        stereo=(0.58, 0.95, 41.0, -0.6, 1.0, -7.6),
        bands=(-19.4, -4.9, -5.6, -6.3, -13.1, -18.2, -25.7),
        rhythm=(92.4, 0.41, [46.2, 184.8], 3.4),
        tonality=("G", "major", "9B", 0.74, -6.0),
    )


def clipped() -> dict[str, Any]:
    """A home export driven into full scale, out of phase in the lows, with DC and a late start."""
    return _result(
        file={"format": "WAV", "codec": "PCM_16", "bitDepth": 16, "durationS": 95.0, "sizeBytes": 16_758_044},
        loudness=(-5.2, 1.6, -2.9, -3.4, 3.1, 0.0, 8.3, 5.0),
        dynamics=(-6.0, 6.0, 3.9, 0.0042, (18_211, 3_104, 1.5, [1.5, 1.502, 1.71]), (1.8, 9.0)),
        stereo=(-0.12, 0.21, 78.0, 2.6, 3.4, 0.5),
        bands=(-2.1, -5.9, -14.5, -14.0, -17.0, -12.2, -11.6),
        rhythm=(130.2, 0.66, [65.1, 260.4], 9.1),
        tonality=("A", "minor", "8A", 0.33, 14.0),
    )


def silence() -> dict[str, Any]:
    """Ten seconds of digital silence: levels cannot be had, and the notes say why."""
    result = _result(
        file={"format": "WAV", "codec": "PCM_16", "bitDepth": 16, "durationS": 10.0, "sizeBytes": 1_764_044},
        loudness=(None,) * 8,
        dynamics=(None, None, None, 0.0, (0, 0, None, []), (10.0, 10.0)),
        stereo=(None,) * 6,
        bands=(None,) * 7,
        rhythm=(None, None, [], 0.0),
        tonality=(None,) * 5,
    )
    result["file"]["effectiveBitDepth"] = result["stereo"]["monoLossBandsDb"] = None
    result["spectrum"] |= dict.fromkeys(("centroidHz", "rolloff85Hz", "flatness", "tiltDbPerOctave"))
    result["spectrum"]["thirdOctavesDb"] = [None] * 31
    result["waveform"]["peaks"] = [0.0] * 2000
    result["notes"] = dict.fromkeys(("loudness.integratedLufs", "loudness.truePeakDbtp"), "the track is silent")
    return result


def _result(
    *,
    file: dict[str, Any],
    loudness: tuple[float | None, ...],
    dynamics: tuple[Any, ...],
    stereo: tuple[float | None, ...],
    bands: tuple[float | None, ...],
    rhythm: tuple[Any, ...],
    tonality: tuple[Any, ...],
) -> dict[str, Any]:
    loudness_keys = ("integratedLufs", "rangeLu", "momentaryMaxLufs", "shortTermMaxLufs", "truePeakDbtp")
    rms, crest, dr, dc, clipping, silences = dynamics
    return {
        "engineVersion": "1.0.0",
        "contentSha256": "0" * 64,
        "file": {"sampleRateHz": 44_100, "channels": 2, "effectiveBitDepth": file["bitDepth"], "truncated": False}
        | file,
        "loudness": {
            **dict(zip((*loudness_keys, "samplePeakDbfs", "plrDb", "psrDb"), loudness, strict=True)),
            "shortTermSeries": {"stepS": file["durationS"] / 200, "lufs": _arrangement(loudness[3])},
        },
        "dynamics": {
            "rmsDbfs": rms,
            "crestDb": crest,
            "drDb": dr,
            "dcOffset": dc,
            "clipping": dict(zip(("samples", "runs", "firstS", "positionsS"), clipping, strict=True)),
            "silence": dict(zip(("leadingS", "trailingS"), silences, strict=True)),
        },
        "stereo": {
            **dict(zip(_STEREO, stereo, strict=True)),
            "monoLossBandsDb": dict.fromkeys(_BANDS, stereo[4]),
            "deadChannels": [],
        },
        "spectrum": {
            "bands": dict(zip(_BANDS, bands, strict=True)),
            "thirdOctavesDb": _third_octaves(),
            "centroidHz": 2_140.0,
            "rolloff85Hz": 4_410.0,
            "flatness": 0.07,
            "tiltDbPerOctave": -4.8,
        },
        "rhythm": dict(zip(("tempoBpm", "confidence", "alternativesBpm", "onsetsPerS"), rhythm, strict=True)),
        "tonality": dict(zip(("key", "mode", "camelot", "confidence", "tuningCents"), tonality, strict=True)),
        "waveform": {"peaks": [round(0.55 + 0.4 * math.sin(i / 90) ** 2, 3) for i in range(2000)]},
        "notes": {},
    }


def _arrangement(loudest_lufs: float | None) -> list[float | None]:
    """Intro, build, drop, break, drop, outro, in 200 steps."""
    if loudest_lufs is None:
        return [None] * 200
    levels = [-9.0] * 30 + [-4.0] * 30 + [-0.4] * 45 + [-11.0] * 25 + [0.0] * 50 + [-8.0] * 20
    return [round(loudest_lufs + level + 0.4 * math.sin(i / 2) - 0.4, 2) for i, level in enumerate(levels)]


def _third_octaves() -> list[float | None]:
    return [round(-13 - 0.035 * (i - 6) ** 2 + 1.3 * math.sin(i), 2) for i in range(31)]
