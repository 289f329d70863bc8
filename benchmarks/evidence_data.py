"""Makes three of the data sets on which docs/order.md measures levels: sprites, emoji and faces, with their factors.

python benchmarks/evidence_data.py sprites sprites.npz
npm pack emoji-datasource-google@16.0.0 && tar xzf emoji-datasource-google-16.0.0.tgz
python benchmarks/evidence_data.py emoji emoji.npz --package package
python benchmarks/evidence_data.py faces faces.npz --package faces     # drawn by benchmarks/evidence_faces.mjs
"""

import argparse
import csv
import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SIDE = 32  # pixels
FINE = 4  # subpixels a side, from which a pixel of a sprite is averaged
TONES = ("1F3FB", "1F3FC", "1F3FD", "1F3FE", "1F3FF")


def sprites(num: int = 20_000, seed: int = 0) -> dict[str, np.ndarray]:
    """White shapes on black, one a picture: a square, an ellipse or a triangle, turned, scaled and moved.

    The orientation is in radians. A square repeats itself after a quarter turn, an ellipse after half a turn, so all
    are turned by less than a quarter: what is stated is then what can be seen.
    """
    rng = np.random.default_rng(seed)
    shape = rng.integers(3, size=num)
    scale = rng.uniform(0.5, 1, num)
    turn = rng.uniform(0, np.pi / 2, num)
    x, y = rng.uniform(0.3, 0.7, (2, num))
    outlines = [
        np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * 0.8,
        np.stack([np.cos(angle := np.linspace(0, 2 * np.pi, 60)), 0.55 * np.sin(angle)], 1) * 1.1,
        np.array([[-1, -0.7], [1, -0.7], [0, 1.1]]),
    ]
    side = SIDE * FINE
    pictures = np.zeros((num, SIDE, SIDE), np.uint8)
    for i in range(num):
        cos, sin = np.cos(turn[i]), np.sin(turn[i])
        points = outlines[shape[i]] @ np.array([[cos, sin], [-sin, cos]]) * scale[i] * 0.22 * side
        canvas = Image.new("L", (side, side))
        ImageDraw.Draw(canvas).polygon([tuple(p) for p in points + np.array([x[i], y[i]]) * side], fill=255)
        pictures[i] = np.asarray(canvas.resize((SIDE, SIDE), Image.Resampling.BOX))
    factors = {"scale": scale, "turn": turn, "x_offset": x, "y_offset": y}
    return {"images": pictures, "shape": shape, **{name: value.astype(np.float32) for name, value in factors.items()}}


def emoji(package: Path) -> dict[str, np.ndarray]:
    """Noto emoji on white, with category, and skin tone (not a number where there is none).

    Args:
        package: the unpacked npm package emoji-datasource-google.
    """
    pictures, categories, tones = [], [], []
    for entry in json.loads((package / "emoji.json").read_text()):
        variants = [(entry["image"], 0.0 if entry.get("skin_variations") else np.nan)]
        for tone, variant in entry.get("skin_variations", {}).items():
            if tone in TONES:
                variants.append((variant["image"], 1.0 + TONES.index(tone)))
        for name, skin in variants:
            file = package / "img" / "google" / "64" / name
            if file.exists():
                with Image.open(file) as opened:
                    picture = opened.convert("RGBA").resize((SIDE, SIDE), Image.Resampling.BOX)
                ground = Image.new("RGBA", picture.size, "white")
                pictures.append(np.asarray(Image.alpha_composite(ground, picture).convert("RGB")))
                categories.append(entry["category"])
                tones.append(skin)
    return {
        "images": np.stack(pictures),
        "category": np.unique(categories, return_inverse=True)[1],
        "skin_tone": np.array(tones, np.float32),
    }


def faces(folder: Path) -> dict[str, np.ndarray]:
    """Cartoon faces, 64 × 64, in more or less light, each part chosen independently of the others.

    Args:
        folder: what `evidence_faces.mjs` has drawn.
    """
    with (folder / "faces.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    light = columns["light"].astype(np.float32)
    pictures = np.empty((len(rows), 64, 64, 3), np.uint8)
    for i in range(len(rows)):
        with Image.open(folder / f"{i:05}.png") as opened:
            pictures[i] = (np.asarray(opened.convert("RGB")) * light[i]).round().clip(0, 255)
    of_hats = np.array([any(word in top.lower() for word in ("hat", "hijab", "turban")) for top in columns["top"]])
    factors = {"light": light, "glasses": columns["glasses"] != "", "hat": of_hats}
    for name in ("across", "down", "scale"):
        factors[name] = columns[name].astype(np.float32)
    for name in ("background", "skin", "hair", "clothes", "top", "mouth", "eyes", "clothing"):
        factors[name] = np.unique(columns[name], return_inverse=True)[1]
    return {"images": pictures, **factors}


def main() -> None:
    """Writes a data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("sprites", "emoji", "faces"))
    parser.add_argument("out", type=Path)
    parser.add_argument("--package", type=Path, default=Path("package"))
    asked = parser.parse_args()
    made = sprites() if asked.what == "sprites" else {"emoji": emoji, "faces": faces}[asked.what](asked.package)
    np.savez_compressed(asked.out, **made)
    print({name: value.shape for name, value in made.items()})


if __name__ == "__main__":
    main()
