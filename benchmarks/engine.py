"""The analysis engine against its peers: time, CPU and peak memory of whole processes, then accuracy.

`make bench-engine`, or `python -m benchmarks.engine [--rounds N] [--peers PYTHON] [FILE…]`. Without files, synthetic
ones are made. Each row's programs run one after another, round by round, so that a busy machine is busy for all of
them; shown are the medians, and the ratio of times to ffmpeg's. Files named are measured as they are, and also compared
with libebur128 in the accuracy table.

This process imports no numpy: a child's peak memory counts from what its parent had.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

PRODAI = Path(sys.executable).with_name("prodai")
FFMPEG = ["ffmpeg", "-nostdin", "-v", "error", "-i", "FILE", "-af", "ebur128=peak=true", "-f", "null", "-"]

_READ = "import sys, soundfile, numpy as np; "
PEERS = {
    "libebur128 (pyebur128)": _READ
    + """
import pyebur128 as e
f = soundfile.SoundFile(sys.argv[1]); m = e.MeasurementMode
s = e.R128State(f.channels, f.samplerate, m.MODE_I | m.MODE_LRA | m.MODE_TRUE_PEAK)
for b in f.blocks(65536, dtype="float32", always_2d=True): s.add_frames(b.reshape(-1), len(b))
print(e.get_loudness_global(s), e.get_loudness_range(s), [e.get_true_peak(s, c) for c in range(f.channels)])
""",
    "pyloudnorm (integrated only)": _READ
    + """
import pyloudnorm
x, rate = soundfile.read(sys.argv[1])
print(pyloudnorm.Meter(rate).integrated_loudness(x))
""",
    "essentia LoudnessEBUR128 (no true peak)": _READ
    + """
import essentia.standard as es
x, rate = soundfile.read(sys.argv[1], dtype="float32", always_2d=True)
print(es.LoudnessEBUR128(sampleRate=rate)(x)[2])
""",
    "essentia MusicExtractor": """
import sys, essentia, essentia.standard as es
essentia.log.infoActive = False
print(es.MusicExtractor()(sys.argv[1])[0]["rhythm.bpm"])
""",
    "librosa beat and chroma": """
import sys, librosa
x, rate = librosa.load(sys.argv[1])
print(librosa.beat.beat_track(y=x, sr=rate)[0], librosa.feature.chroma_cqt(y=x, sr=rate).shape)
""",
}
QUICK = "libebur128 (pyebur128)"


@dataclass(frozen=True)
class Run:
    wall_s: float
    cpu_s: float
    peak_mib: float


def run(command: list[str], file: Path) -> Run | None:
    """One process, from its start to its end; None where it fails."""
    words = [str(file) if word == "FILE" else word for word in command]
    started = time.perf_counter()
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        return None
    return Run(wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def medians(commands: dict[str, list[str]], file: Path, rounds: int) -> dict[str, Run]:
    runs: dict[str, list[Run]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            if (found := run(command, file)) is not None:
                runs[name].append(found)
    return {
        name: Run(
            statistics.median(one.wall_s for one in found),
            statistics.median(one.cpu_s for one in found),
            max(one.peak_mib for one in found),
        )
        for name, found in runs.items()
        if found
    }


def ours() -> dict[str, list[str]]:
    analyze = [str(PRODAI), "analyze", "FILE", "--json"]
    return {"prodai, everything": analyze, "prodai, loudness and true peak": [*analyze, "--measures", "loudness"]}


def peers(python: str, names: list[str]) -> dict[str, list[str]]:
    return {name: [python, "-W", "ignore", "-c", PEERS[name], "FILE"] for name in names}


def table(title: str, found: dict[str, Run]) -> None:
    print(
        f"\n### {title}\n\n| program | time s | to ffmpeg | CPU s | to ffmpeg | peak MiB |\n|---|---|---|---|---|---|"
    )
    base = found.get("ffmpeg")
    for name, one in found.items():
        ratios = (f"{one.wall_s / base.wall_s:.2f}", f"{one.cpu_s / base.cpu_s:.2f}") if base else ("", "")
        print(f"| {name} | {one.wall_s:.2f} | {ratios[0]} | {one.cpu_s:.2f} | {ratios[1]} | {one.peak_mib:.0f} |")


def speed(files: list[Path], rounds: int, python: str) -> None:
    ffmpeg = {"ffmpeg": FFMPEG} if shutil.which("ffmpeg") else {}
    for file in files:
        title = f"{file.name}, {file.stat().st_size / 1e6:.1f} MB"
        table(title, medians({**ours(), **ffmpeg, **peers(python, [QUICK])}, file, rounds))
    slow = [name for name in PEERS if name != QUICK]
    table(f"{files[0].name}, the slower peers, once", medians({**ours(), **ffmpeg, **peers(python, slow)}, files[0], 1))


def memory(folder: Path) -> None:
    print("\n### Peak memory does not grow with the track (everything)\n\n| track | peak MiB |\n|---|---|")
    command = ours()["prodai, everything"]
    for name, title in (("minute.wav", "1 minute"), ("hour.wav", "1 hour")):
        found = run(command, folder / name)
        print(f"| {title} | {found.peak_mib:.0f} |" if found else f"| {title} | failed |")


IMPORT = """
import time
started, used = time.perf_counter(), time.process_time()
import {}
print(time.perf_counter() - started, time.process_time() - used)
"""


def imported() -> None:
    """With compiled modules, as a deployed function has them: the first of ten runs compiles, and does not count."""
    print("\n### Import\n\n| modules | ms | CPU ms |\n|---|---|---|")
    for modules in ("numpy, soundfile", "analysis.engine"):
        with tempfile.TemporaryDirectory() as compiled:
            environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled, "PYTHONDONTWRITEBYTECODE": ""}
            command = [sys.executable, "-c", IMPORT.format(modules)]
            printed = [subprocess.check_output(command, env=environment, text=True).split() for _ in range(10)]
        wall_ms, cpu_ms = (1000 * statistics.median(map(float, column)) for column in zip(*printed[1:], strict=True))
        print(f"| {modules} | {wall_ms:.0f} | {cpu_ms:.0f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", default=os.environ.get("PEERS", sys.executable), help="a Python that has the peers")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = options.files
        if not files:
            subprocess.run([sys.executable, "-m", "benchmarks.engine_material", folder], check=True)
            names = ("song.wav", "long.wav", "brickwalled.wav", "song.mp3", "song.flac", "song.ogg")
            files = [Path(folder) / name for name in names]
        speed(files, options.rounds, options.peers)
        if not options.files:
            memory(Path(folder))
        imported()
        accuracy = [sys.executable, "-m", "benchmarks.engine_accuracy", *(str(file) for file in files)]
        sys.stdout.flush()
        subprocess.run(accuracy, check=True)


if __name__ == "__main__":
    main()
