"""Fine power is the part of the mean square that fine detail carries; blur takes it, noise brings it."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import vlae
from vlae.data import load
from vlae.evaluation.sharpness import fine_power


def test_noise_has_the_share_of_frequencies_that_are_fine():
    noise = np.random.default_rng(0).normal(size=(200, 2, 16, 12))
    coarse = 7 * 5  # of 16 · 12 frequencies, those below 1/4 across and down
    assert fine_power(noise) == pytest.approx(1 - coarse / (16 * 12), rel=0.02)
    assert fine_power(3 + 0.5 * noise) == pytest.approx(fine_power(noise) / 4)  # brightness does not count


@pytest.mark.parametrize(("period", "fine"), [(2, 1.0), (4, 1.0), (8, 0.0)])
def test_a_wave_is_fine_up_to_a_period_of_four_pixels(period, fine):
    wave = np.cos(2 * np.pi * np.arange(16) / period)
    pictures = np.broadcast_to(wave[:, None], (1, 1, 16, 16))
    for x in (pictures, pictures.swapaxes(2, 3)):
        assert fine_power(x) == pytest.approx(fine * (wave**2).mean(), abs=1e-9)


def test_blurred_pictures_lose_it():
    x = load("streets:300", split="all").values / 255
    shares = [fine_power(gaussian_filter(x, (0, 0, blur, blur))) / fine_power(x) for blur in (0.3, 0.6, 1.2)]
    assert 1 > shares[0] > shares[1] > shares[2] > 0 and shares[2] < 0.3


def test_the_ladder_that_ships_draws_smoother_pictures_than_real_ones():
    run, x = vlae.load("streets"), load("streets:1000", split="all").values
    assert 0.1 < fine_power(run.decode(run.encode(x))) / fine_power(x / 255) < 0.9
