"""Derives the genres' targets, functions/analyze/analysis/verdict/genres.json, from the rule stated here.

No catalogue of these genres is free to measure and to pass on, so nothing here is measured: the numbers follow from the
product's plan and from published averages, and every target names which. The rule:

1. Tonal balance. Pestana, Ma, Reiss, Barbosa and Black (AES 135, 2013, 772 number-one singles) found one decay in every
   genre, about 5 dB per octave per hertz from 100 Hz to 4 kHz, level below and falling faster above; hip-hop, rock, pop
   and electronic music are louder below 150 Hz and above 5 kHz than jazz and folk. Elowsson and Friberg (AES 142, 2017,
   12,345 songs) found 4.5 dB per octave. Per octave of power (3 dB more than per hertz) that is pink noise tilted by
   2 dB per octave, turning to a fall of 3 dB per octave downwards where the lows level off:

       level(f) = -tilt log2(f / 1 kHz) - (tilt + 3) / 2 log2(1 + (plateau / f)^2) + low shelf at 150 Hz
                  + high shelf at 5 kHz - 3 dB per octave more above 4 kHz - a second-order high-pass at 30 Hz

   Tilt, shelves and plateau per genre are an engineer's judgement within that finding (table `CHARACTERS`).
2. Loudness and DR. Club genres: the plan's -9 to -8 LUFS and DR 6 to 10, melodic trance DR 8 to 12: its middle is the
   target, and half the width the tolerance, but never less than 1 LU. Others: judgement, marked so.
3. Loudness range and stereo width: judgement, marked so.

`python benchmarks/genre_targets.py` writes the table; `--check` ends 1 if the table is not what the rule gives.
"""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TABLE = Path(__file__).resolve().parents[1] / "functions/analyze/analysis/verdict/genres.json"
DATE = "2026-11-24"

BANDS_HZ = {
    "sub": (20, 60),
    "bass": (60, 250),
    "lowMid": (250, 500),
    "mid": (500, 2000),
    "highMid": (2000, 4000),
    "presence": (4000, 8000),
    "air": (8000, 20000),
}
# ISO 266 names of the third octaves; their exact centres are 1000 * 10 ** (n / 10) (IEC 61260-1, base ten).
THIRD_OCTAVES_HZ = (
    *(20, 25, 31.5, 40, 50, 63, 80, 100, 125, 160, 200, 250, 315, 400, 500, 630, 800, 1000, 1250, 1600, 2000, 2500),
    *(3150, 4000, 5000, 6300, 8000, 10000, 12500, 16000, 20000),
)
HIGH_PASS_HZ = 30
STEPS_PER_OCTAVE = 96

SOURCES = {
    "plan": "the product's plan: club genres around -9 to -8 LUFS and DR 6-10, melodic trance DR 8-12",
    "rule": "the tonal rule of benchmarks/genre_targets.py, after Pestana et al. 2013 and Elowsson and Friberg 2017",
    "judgement": "a mastering engineer's judgement, not measured; to be replaced once a licensed catalogue is measured",
}


@dataclass(frozen=True)
class Character:
    """What tells a genre's long-term spectrum from the average one."""

    tilt_db_per_octave: float
    low_shelf_db: float
    high_shelf_db: float
    plateau_hz: float


@dataclass(frozen=True)
class Range:
    low: float
    high: float
    source: str = "judgement"
    least_tolerance: float = 0.0

    def target(self) -> dict[str, Any]:
        tolerance = max((self.high - self.low) / 2, self.least_tolerance)
        return {"target": (self.low + self.high) / 2, "tolerance": tolerance, "source": self.source}


@dataclass(frozen=True)
class Style:
    names: tuple[str, str]
    integrated_lufs: Range
    dr_db: Range
    range_lu: Range
    side_mid_db: Range
    character: Character
    band_tolerances_db: dict[str, float] = field(default_factory=dict)  # where metrics.json's do not fit


CLUB_LUFS = Range(-9, -8, "plan", least_tolerance=1.0)
CLUB_DR = Range(6, 10, "plan")
CLUB_LRA = Range(2, 8)
CLUB_WIDTH = Range(-15, -7)

CHARACTERS = {
    "club": Character(2.0, 2.0, 1.0, 70),
    "funk": Character(1.9, 3.0, 1.0, 70),
    "bright funk": Character(1.7, 2.5, 1.5, 70),
    "808": Character(2.1, 3.5, 1.0, 55),
    "song": Character(2.0, 1.0, 1.0, 90),
    "band": Character(1.9, 0.0, 1.0, 100),
    "acoustic": Character(2.2, -1.0, -1.0, 110),
}

STYLES = {
    "progressive-trance": Style(
        ("Progressive trance", "Trance progressivo"),
        CLUB_LUFS,
        Range(8, 12, "plan"),
        Range(4, 12),
        Range(-13, -5),
        CHARACTERS["club"],
    ),
    "funk-mandela": Style(
        ("Funk mandela", "Funk mandela"), CLUB_LUFS, CLUB_DR, CLUB_LRA, CLUB_WIDTH, CHARACTERS["funk"]
    ),
    "funk-bruxaria": Style(
        ("Funk bruxaria", "Funk bruxaria"), CLUB_LUFS, CLUB_DR, CLUB_LRA, CLUB_WIDTH, CHARACTERS["bright funk"]
    ),
    "funk-bh": Style(("Funk BH", "Funk BH"), CLUB_LUFS, CLUB_DR, CLUB_LRA, CLUB_WIDTH, CHARACTERS["funk"]),
    "eletrofunk": Style(("Eletrofunk", "Eletrofunk"), CLUB_LUFS, CLUB_DR, CLUB_LRA, CLUB_WIDTH, CHARACTERS["funk"]),
    "edm": Style(("EDM", "EDM"), CLUB_LUFS, CLUB_DR, Range(3, 9), Range(-13, -5), CHARACTERS["club"]),
    "eletronico": Style(
        ("Electronic", "Eletrônico"), CLUB_LUFS, CLUB_DR, Range(3, 9), Range(-14, -6), CHARACTERS["club"]
    ),
    "trap": Style(("Trap", "Trap"), Range(-10, -8), Range(6, 10), Range(3, 9), Range(-16, -8), CHARACTERS["808"]),
    "pop": Style(("Pop", "Pop"), Range(-11, -8), Range(6, 10), Range(3, 9), Range(-15, -7), CHARACTERS["song"]),
    "rock": Style(("Rock", "Rock"), Range(-11, -8), Range(6, 11), Range(3, 9), Range(-13, -5), CHARACTERS["band"]),
    "hip-hop": Style(
        ("Hip-hop", "Hip-hop"), Range(-11, -8), Range(6, 10), Range(3, 9), Range(-17, -8), CHARACTERS["808"]
    ),
    "acoustic": Style(
        ("Acoustic", "Acústico"),
        Range(-16, -12),
        Range(9, 15),
        Range(5, 13),
        Range(-16, -6),
        CHARACTERS["acoustic"],
        {"sub": 10.0},  # a guitar and a voice have no sub, and nobody should boost the rumble instead
    ),
}


def level_db(character: Character, hz: float) -> float:
    """The power per octave at a frequency, in dB, from an arbitrary zero."""
    line = -character.tilt_db_per_octave * math.log2(hz / 1000) - 3 * max(0.0, math.log2(hz / 4000))
    low = character.low_shelf_db / (1 + (hz / 150) ** 2)
    high = character.high_shelf_db / (1 + (5000 / hz) ** 2)
    plateau = -(character.tilt_db_per_octave + 3) / 2 * math.log2(1 + (character.plateau_hz / hz) ** 2)
    return line + plateau + low + high - 10 * math.log10(1 + (HIGH_PASS_HZ / hz) ** 4)


def power(character: Character, low_hz: float, high_hz: float) -> float:
    """The power between two frequencies: the sum over steps of equal ratio."""
    steps = max(8, round(STEPS_PER_OCTAVE * math.log2(high_hz / low_hz)))
    ratio = math.log2(high_hz / low_hz) / steps
    middles = (low_hz * 2 ** (ratio * (step + 0.5)) for step in range(steps))
    return sum(ratio * 10 ** (level_db(character, hz) / 10) for hz in middles)


def spectrum(character: Character) -> tuple[dict[str, float], list[float]]:
    """The seven bands and the third octaves, in dB below the power of the whole range of 20 Hz to 20 kHz."""
    whole = power(character, 20, 20000)

    def share_db(low_hz: float, high_hz: float) -> float:
        return round(10 * math.log10(power(character, low_hz, high_hz) / whole), 2)

    centres = [1000 * 10 ** (n / 10) for n in range(-17, 14)]
    half = 10 ** (1 / 20)
    return (
        {band: share_db(*edges) for band, edges in BANDS_HZ.items()},
        [share_db(centre / half, centre * half) for centre in centres],
    )


def derive() -> dict[str, Any]:
    genres = {}
    for genre_id, style in STYLES.items():
        bands_db, third_octaves_db = spectrum(style.character)
        genres[genre_id] = {
            "names": {"en": style.names[0], "pt-BR": style.names[1]},
            "targets": {
                "integratedLufs": style.integrated_lufs.target(),
                "drDb": style.dr_db.target(),
                "rangeLu": style.range_lu.target(),
                "sideMidDb": style.side_mid_db.target(),
            },
            "spectrumSource": "rule",
            "bandsDb": bands_db,
            "bandTolerancesDb": style.band_tolerances_db,
            "thirdOctavesDb": third_octaves_db,
        }
    return {
        "date": DATE,
        "derivedBy": "benchmarks/genre_targets.py, from a stated rule; no genre was measured",
        "sources": SOURCES,
        "default": "pop",
        "thirdOctavesHz": list(THIRD_OCTAVES_HZ),
        "genres": genres,
    }


def text() -> str:
    """The table as JSON, each genre's short objects and lists on a line of their own."""
    table = derive()
    genres = table.pop("genres")
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}," for key, value in table.items()]
    blocks = []
    for genre_id, genre in genres.items():
        inner = ",\n".join(f"      {json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in genre.items())
        blocks.append(f"    {json.dumps(genre_id)}: {{\n{inner}\n    }}")
    return "{\n" + "\n".join(lines) + '\n  "genres": {\n' + ",\n".join(blocks) + "\n  }\n}\n"


def main(arguments: list[str]) -> int:
    if arguments == ["--check"]:
        same = TABLE.read_text(encoding="utf-8") == text()
        print("genres.json is what the rule gives" if same else "genres.json differs from the rule: run this script")
        return 0 if same else 1
    TABLE.write_text(text(), encoding="utf-8")
    for genre_id, genre in derive()["genres"].items():
        bands = "  ".join(f"{band} {level:6.1f}" for band, level in genre["bandsDb"].items())
        print(f"{genre_id:20}{bands}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
