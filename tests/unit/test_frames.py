"""The decimated signal and the frames that tempo and key share."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from analysis.measures.base import Block, Stream
from analysis.measures.frames import PASS_HZ, Decimator, Frames, low_pass

RATES_HZ = (8000, 11025, 16000, 22050, 32000, 44100, 48000, 88200, 96000, 176400, 192000)


def blocks(mono: NDArray[np.float32], sizes: list[int]) -> list[Block]:
    edges = np.minimum(np.cumsum([0, *sizes, mono.size]), mono.size)
    return [Block(mono[a:b, None], int(a)) for a, b in pairwise(edges)]


@pytest.mark.parametrize("rate_hz", [16000, 44100, 96000])
@given(sizes=st.lists(st.integers(1, 4000), max_size=8))
@settings(max_examples=15, deadline=None)
def test_the_decimated_signal_is_the_convolution_wherever_the_blocks_are_cut(rate_hz: int, sizes: list[int]) -> None:
    mono = np.random.default_rng(1).standard_normal(9000).astype(np.float32)
    decimator = Decimator(Stream(rate_hz, 1, (1.0,)))
    taps = low_pass(rate_hz, decimator.factor)
    expected = np.convolve(mono, taps)[: mono.size : decimator.factor]
    got = np.concatenate([decimator.feed(block) for block in blocks(mono, sizes)])
    assert expected.size - got.size <= 33
    np.testing.assert_allclose(got, expected[: got.size], atol=1e-5)


def test_two_decimators_fed_the_same_blocks_share_the_work() -> None:
    mono = np.random.default_rng(2).standard_normal(20000).astype(np.float32)
    first, second = (Decimator(Stream(44100, 1, (1.0,))) for _ in range(2))
    for block in blocks(mono, [7000, 100, 6000]):
        assert first.feed(block) is second.feed(block)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_no_alias_falls_into_the_band_in_use_at_any_rate(rate_hz: int) -> None:
    factor = Decimator(Stream(rate_hz, 1, (1.0,))).factor
    hz = np.fft.rfftfreq(1 << 16, 1 / rate_hz)
    gain_db = 20 * np.log10(np.abs(np.fft.rfft(low_pass(rate_hz, factor), 1 << 16)) + 1e-9)
    assert np.ptp(gain_db[hz <= PASS_HZ]) < 0.1
    assert factor == 1 or gain_db[hz >= rate_hz / factor - PASS_HZ].max() < -55


@given(sizes=st.lists(st.integers(0, 300), min_size=1, max_size=10))
@settings(deadline=None)
def test_frames_lie_at_multiples_of_the_hop_wherever_the_pieces_are_cut(sizes: list[int]) -> None:
    signal = np.arange(sum(sizes), dtype=np.float32)
    frames = Frames(64, 16)
    pieces = np.split(signal, np.cumsum(sizes)[:-1])
    got = np.concatenate([frames.feed(piece) for piece in pieces])
    assert got.shape == (max(0, (signal.size - 64) // 16 + 1), 64)
    assert np.array_equal(got, np.arange(len(got))[:, None] * 16 + np.arange(64))
