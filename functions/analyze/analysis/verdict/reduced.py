"""The reduced analysis: score, loudness and true peak; the rest withheld, and said so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_WHOLE = ("engineVersion", "contentSha256", "file")
_PARTLY = {
    "loudness": ("integratedLufs", "truePeakDbtp"),
    "verdict": ("mode", "genre", "referenceId", "score", "grade", "gradePt"),
}


def reduced(result_with_verdict: Mapping[str, Any]) -> dict[str, Any]:
    """What a user sees whose full analyses of the month are used up.

    `withheld` names what is not shown, as sections ("stereo") or keys of a section ("loudness.rangeLu").
    """
    view: dict[str, Any] = {"reduced": True, "withheld": []}
    for section, content in result_with_verdict.items():
        if section in _WHOLE:
            view[section] = content
        elif section in _PARTLY and isinstance(content, Mapping):
            view[section] = {key: content[key] for key in _PARTLY[section] if key in content}
            view["withheld"] += [f"{section}.{key}" for key in content if key not in _PARTLY[section]]
        elif section != "notes":
            view["withheld"].append(section)
    return view
