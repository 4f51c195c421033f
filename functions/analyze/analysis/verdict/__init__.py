"""The verdict on a measured track: how it stands against a genre or a reference, and what to change.

Everything that could be argued about (weights, tolerances, targets, platforms, texts) stands in the JSON tables of this
package, dated and with sources.
"""

from analysis.verdict.judge import judge
from analysis.verdict.reduced import reduced
from analysis.verdict.tables import GENRES, Genre, UnknownGenre

__all__ = ["GENRES", "Genre", "UnknownGenre", "judge", "reduced"]
