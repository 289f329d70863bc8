"""The control of the mesh: what a mesh adds is told from what a ladder draws of the real pictures."""

import csv
import sys

import mesh_control
import numpy as np
from scipy.ndimage import gaussian_filter

import vlae
from vlae.evaluation.mesh import peaks, spectrum


def test_what_is_foreign_to_pictures_is_a_mesh_and_not_what_is_drawn_of_them():
    noise = np.zeros((400, 1, 32, 32))
    noise[:, :, 8:-8, 8:-8] = np.random.default_rng(0).normal(size=(400, 1, 16, 16))  # no blur reaches the borders
    real = 0.5 + gaussian_filter(noise, (0, 0, 1, 1), mode="wrap")
    blurred = gaussian_filter(real, (0, 0, 1, 1), mode="wrap")  # every frequency has a gain of its own
    weave = 0.03 * (np.arange(32) % 4 == 0) * np.ones((32, 1))
    left = mesh_control.foreign(blurred, real)
    assert left.max() < 1e-10 * np.square(np.abs(spectrum(real))).mean(0).max()
    noisy = blurred + 0.05 * np.random.default_rng(1).normal(size=real.shape)
    strengths = np.random.default_rng(2).normal(size=(400, 1, 1, 1))
    without, woven = (
        peaks(mesh_control.foreign(drawn, real).mean(0))[4] for drawn in (noisy, noisy + weave * strengths)
    )
    assert 0.9 < without < 1.1 and woven > 2


def test_it_writes_a_row_for_each_period(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(mesh_control, "MOST", 300)
    out = tmp_path / "mesh.csv"
    monkeypatch.setattr(sys, "argv", ["mesh_control.py", str(vlae.load("streets").path), "--out", str(out)])
    mesh_control.main()
    rows = list(csv.DictReader(out.open(newline="")))
    assert [row["period"] for row in rows] == ["2", "4", "8"]
    assert all(0.5 < float(row["foreign to the pictures"]) < 2 for row in rows)
    assert all(float(row["samples, least"]) < float(row["samples, most"]) for row in rows)
    assert rows[0]["squared error"] in capsys.readouterr().out
