"""`prodai analyze`: measures files on this machine, no cloud needed, and reports what was found.

What a call does not need is not imported: rich not with --json, matplotlib only with --plot.
"""

from __future__ import annotations

import argparse
import json
import sys
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared.genres import GENRES

# The engine's own table, written out here: importing the engine takes numpy's 100 ms, for `prodai --help` too.
MEASURES = ("loudness", "dynamics", "stereo", "spectrum", "rhythm", "tonality", "waveform")
PICTURES = (".png", ".svg", ".pdf")

Result = dict[str, Any]


class Unreadable(Exception):  # noqa: N818
    """A file without a result; the message names it, what is wrong and what to do."""

    def __init__(self, path: Path, code: str, detail: str) -> None:
        super().__init__(f"{path}: {detail}")
        self.path, self.code, self.detail = path, code, detail


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("analyze", help="measure and judge audio files; no cloud needed")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument(
        "--json", action="store_true", help="print the result as JSON: one object, or a list for several files"
    )
    parser.add_argument(
        "--measures", type=_measures, metavar="LIST", help=f"only these, comma-separated: {', '.join(MEASURES)}"
    )
    parser.add_argument(
        "--genre", type=_genre, metavar="G", help=f"what to compare with: {', '.join(GENRES)}; pop by default"
    )
    parser.add_argument("--reference", type=Path, metavar="FILE", help="a track to compare with, instead of a genre")
    parser.add_argument(
        "--plot", type=_picture, metavar="PNG", help="draw the analysis; numbered where there are several files"
    )
    parser.add_argument("--locale", choices=("en", "pt-BR"), default="en", help="the report's language")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """0; 1 where a file could not be analysed or a picture not written, after all others are done."""
    try:
        reference = _measured(args.reference, args.measures) if args.reference else None
    except Unreadable as error:
        _complain(error)
        return 1
    outcomes = [_outcome(path, args, reference) for path in args.files]
    results = [(path, outcome) for path, outcome in zip(args.files, outcomes, strict=True) if "error" not in outcome]
    if args.json:
        _print_json(outcomes, alone=len(args.files) == 1)
    else:
        _print_report(results, args)
    drawn = _draw(results, args, reference) if args.plot else True
    return 0 if drawn and len(results) == len(outcomes) else 1


def _outcome(path: Path, args: argparse.Namespace, reference: Result | None) -> Result:
    """The result with its verdict, or `{"error": {path, code, detail}}`, which has been told on stderr."""
    from analysis.verdict import judge

    try:
        result = _measured(path, args.measures)
    except Unreadable as error:
        _complain(error)
        return {"error": {"path": str(path), "code": error.code, "detail": error.detail}}
    name = args.reference.name if args.reference else None
    return {**result, "verdict": judge(result, genre=args.genre, reference=reference, reference_id=name)}


def _measured(path: Path, measures: tuple[str, ...] | None) -> Result:
    from analysis.engine import analyse
    from analysis.errors import AnalysisError

    if not path.is_file():
        what = "is a folder; name the files in it" if path.is_dir() else "there is no such file; check the path"
        raise Unreadable(path, "not-found", what)
    try:
        return analyse(path, measures=measures)
    except AnalysisError as error:
        raise Unreadable(path, error.code, error.detail) from error


def _print_json(outcomes: list[Result], *, alone: bool) -> None:
    """A single file that failed prints nothing; among several, its place in the list holds the error."""
    if alone and "error" in outcomes[0]:
        return
    print(json.dumps(outcomes[0] if alone else outcomes, ensure_ascii=False, allow_nan=False))


def _print_report(results: list[tuple[Path, Result]], args: argparse.Namespace) -> None:
    from rich.console import Console

    from local.report import render, render_many

    console = Console()
    if len(results) == 1:
        render(results[0][1], console, locale=args.locale, filename=results[0][0].name)
    elif results:
        render_many([(path.name, result) for path, result in results], console, locale=args.locale)


def _draw(results: list[tuple[Path, Result]], args: argparse.Namespace, reference: Mapping[str, Any] | None) -> bool:
    from local.plot import plot

    target: Path = args.plot
    for number, (path, result) in enumerate(results, start=1):
        picture = target if len(args.files) == 1 else target.with_stem(f"{target.stem}-{number}")
        try:
            plot(result, picture, locale=args.locale, filename=path.name, reference=reference)
        except OSError as error:
            _complain(f"{picture}: the picture cannot be written: {error.strerror or error}; choose another place")
            return False
        print(f"{path.name}: drawn in {picture}", file=sys.stderr)
    return True


def _complain(message: object) -> None:
    print(f"prodai analyze: {message}", file=sys.stderr)


def _genre(text: str) -> str:
    """An id of GENRES, also from a name as one writes it: "Eletrônico", "Progressive Trance"."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    genre = "-".join(plain.lower().replace("_", " ").split())
    if genre not in GENRES:
        raise argparse.ArgumentTypeError(f"the genre {text!r} is not known; known are: {', '.join(GENRES)}")
    return genre


def _measures(text: str) -> tuple[str, ...]:
    wanted = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    unknown = [name for name in wanted if name not in MEASURES]
    if unknown or not wanted:
        fault = f"not known: {', '.join(unknown)}" if unknown else "none named"
        raise argparse.ArgumentTypeError(f"{fault}; known are: {', '.join(MEASURES)}")
    return wanted


def _picture(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() not in PICTURES:
        raise argparse.ArgumentTypeError(f"{text}: a picture's name ends in {', '.join(PICTURES)}")
    return path
