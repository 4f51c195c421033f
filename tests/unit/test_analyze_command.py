"""`prodai analyze`: files in, report or JSON out, errors in one line each. The engine is a fake here."""

from __future__ import annotations

import argparse
import ast
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from analysis.engine import MEASURES
from local import analyze
from tests.unit.results import clipped, loud_master, quiet_acoustic

Run = Callable[..., int]


class AnalysisError(Exception):
    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Puts an engine in place that knows three files; what it was asked for."""
    calls: list[tuple[str, Any]] = []
    known = {"loud": loud_master, "quiet": quiet_acoustic, "clipped": clipped}

    def analyse(path: Path, *, measures: Any = None, on_progress: Any = None) -> dict[str, Any]:
        calls.append((path.name, measures))
        if path.stem not in known:
            raise AnalysisError("unreadable", "no audio in it; export it as WAV, FLAC, MP3 or OGG")
        return known[path.stem]()

    engine, errors = ModuleType("analysis.engine"), ModuleType("analysis.errors")
    engine.analyse = analyse  # type: ignore[attr-defined]
    errors.AnalysisError = AnalysisError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "analysis.engine", engine)
    monkeypatch.setitem(sys.modules, "analysis.errors", errors)
    return calls


@pytest.fixture
def run(asked: list[tuple[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("loud.wav", "quiet.flac", "clipped.wav", "notes.txt"):
        Path(name).touch()

    def run(*words: str) -> int:
        parser = argparse.ArgumentParser(prog="prodai")
        analyze.add_parser(parser.add_subparsers(dest="command"))
        args = parser.parse_args(["analyze", *words])
        code: int = args.run(args)
        return code

    return run


Captured = pytest.CaptureFixture[str]


def test_one_file_gets_a_report(run: Run, capsys: Captured) -> None:
    assert run("loud.wav", "--genre", "edm") == 0
    assert "against EDM" in capsys.readouterr().out


def test_several_files_stand_side_by_side(run: Run, capsys: Captured) -> None:
    assert run("loud.wav", "quiet.flac") == 0
    out = capsys.readouterr().out
    assert any("loud.wav" in line and "quiet.flac" in line for line in out.splitlines())


def test_json_of_one_file_is_one_object_with_its_verdict(run: Run, capsys: Captured) -> None:
    assert run("loud.wav", "--json") == 0
    out = capsys.readouterr().out
    result = json.loads(out)
    assert out.count("\n") == 1
    assert (result["loudness"]["integratedLufs"], result["verdict"]["genre"]) == (-7.1, "pop")


def test_json_of_several_files_is_a_list_in_their_order(run: Run, capsys: Captured) -> None:
    assert run("quiet.flac", "loud.wav", "--json") == 0
    assert [r["loudness"]["integratedLufs"] for r in json.loads(capsys.readouterr().out)] == [-20.0, -7.1]


def test_a_bad_file_costs_one_line_and_the_exit_code_but_not_the_other_files(run: Run, capsys: Captured) -> None:
    assert run("loud.wav", "notes.txt", "missing.wav", "quiet.flac", "--json") == 1
    captured = capsys.readouterr()
    assert captured.err.splitlines() == [
        "prodai analyze: notes.txt: no audio in it; export it as WAV, FLAC, MP3 or OGG",
        "prodai analyze: missing.wav: there is no such file; check the path",
    ]
    codes = [outcome.get("error", {}).get("code") for outcome in json.loads(captured.out)]
    assert codes == [None, "unreadable", "not-found", None]


def test_a_single_bad_file_prints_no_json(run: Run, capsys: Captured) -> None:
    assert run("notes.txt", "--json") == 1
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)


def test_a_folder_is_refused_with_advice(run: Run, tmp_path: Path, capsys: Captured) -> None:
    assert run(str(tmp_path)) == 1
    assert capsys.readouterr().err == f"prodai analyze: {tmp_path}: is a folder; name the files in it\n"


def test_only_the_measures_asked_for_are_measured(run: Run, asked: list[tuple[str, Any]]) -> None:
    assert run("loud.wav", "--measures", "loudness, stereo", "--json") == 0
    assert asked == [("loud.wav", ("loudness", "stereo"))]


def test_a_reference_is_measured_once_and_compared_with_every_file(
    run: Run, asked: list[tuple[str, Any]], capsys: Captured
) -> None:
    assert run("loud.wav", "quiet.flac", "--reference", "clipped.wav", "--json") == 0
    verdicts = [result["verdict"] for result in json.loads(capsys.readouterr().out)]
    assert {(v["mode"], v["referenceId"]) for v in verdicts} == {("reference", "clipped.wav")}
    assert [name for name, _ in asked] == ["clipped.wav", "loud.wav", "quiet.flac"]


def test_a_bad_reference_ends_the_command(run: Run, capsys: Captured) -> None:
    assert run("loud.wav", "--reference", "notes.txt") == 1
    assert capsys.readouterr().err.startswith("prodai analyze: notes.txt: no audio in it")


def test_pictures_are_drawn_one_a_file(run: Run, capsys: Captured) -> None:
    assert run("loud.wav", "--plot", "one.png", "--json") == 0
    assert run("loud.wav", "quiet.flac", "--plot", "many.png", "--json") == 0
    assert sorted(str(p) for p in Path().glob("*.png")) == ["many-1.png", "many-2.png", "one.png"]
    assert "loud.wav: drawn in one.png" in capsys.readouterr().err


def test_a_picture_that_cannot_be_written_is_an_error(run: Run, capsys: Captured) -> None:
    assert run("loud.wav", "--plot", "nowhere/one.png", "--json") == 1
    assert "nowhere/one.png: the picture cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["eletronico", "Eletrônico", "ELETRÔNICO"])
def test_a_genre_may_be_written_as_one_speaks(run: Run, name: str, capsys: Captured) -> None:
    assert run("loud.wav", "--genre", name, "--json") == 0
    assert json.loads(capsys.readouterr().out)["verdict"]["genre"] == "eletronico"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--genre", "polka"), "the genre 'polka' is not known; known are: progressive-trance"),
        (("--measures", "loudness,smell"), "not known: smell; known are: loudness"),
        (("--measures", ","), "none named; known are: loudness"),
        (("--plot", "picture.gif"), "picture.gif: a picture's name ends in .png"),
        (("--locale", "de"), "invalid choice: 'de'"),
    ],
)
def test_a_bad_option_ends_with_2_and_says_what_is_good(
    run: Run, options: tuple[str, ...], complaint: str, capsys: Captured
) -> None:
    with pytest.raises(SystemExit) as ended:
        run("loud.wav", *options)
    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err


def test_the_measures_one_may_name_are_the_engines() -> None:
    assert tuple(MEASURES) == analyze.MEASURES


def test_the_command_line_is_there_without_waiting_for_numpy_rich_or_matplotlib() -> None:
    tree = ast.parse(Path(analyze.__file__).read_text(encoding="utf-8"))
    modules = {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
    modules |= {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    others = {str(module) for module in modules if str(module).split(".")[0] not in sys.stdlib_module_names}
    assert others == {"shared.genres"}
