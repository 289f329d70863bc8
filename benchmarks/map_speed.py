"""How fast the page's map is: frames a second while 100,000 points are dragged and zoomed, and how soon they are there.

    python benchmarks/map_speed.py RUN [--points 100000] [--seconds 4]

The page is that of the run; its collection is replaced by made-up points. Needs `pip install "vlae[web]" playwright`
and Debian's chromium, which has no graphics card here: points are drawn pixel by pixel, by the processor alone.
"""

import argparse
import base64
import io
import json
import shutil
import time
from statistics import median

import numpy as np
from PIL import Image

import vlae
from vlae.web.app import explore
from vlae.web.map import place_on_plane

# Moves the map in every frame for some seconds, and returns when each frame began and how long scripts took in it.
DRIVE = """async ([what, seconds]) => {
  const plot = document.querySelector(".plot");
  const box = plot.getBoundingClientRect();
  const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
  const at = (i) => ({ clientX: x + 150 * Math.sin(i / 10), clientY: y + 80 * Math.cos(i / 10) });
  const usual = { view: window, bubbles: true, cancelable: true };
  const mouse = (target, name, i) => target.dispatchEvent(new MouseEvent(name, { ...usual, ...at(i) }));
  const wheel = (deltaY) => plot.dispatchEvent(new WheelEvent("wheel", { ...usual, ...at(0), deltaY }));
  const moves = {
    dragged: (i) => mouse(window, "mousemove", i),
    zoomed: (i) => wheel(i % 60 < 30 ? -30 : 30),
    "left alone": () => {},
  };
  if (what === "dragged") mouse(plot, "mousedown", 0);
  const frames = [];
  const start = performance.now();
  for (let i = 0; performance.now() - start < 1000 * seconds; i++) {
    moves[what](i);
    const drawn = await new Promise((resolve) => requestAnimationFrame(resolve)); // the map draws in this frame, before
    frames.push([drawn, performance.now() - drawn]);
  }
  mouse(window, "mouseup", 0);
  return frames;
}"""


def columns(values: np.ndarray, kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values, kind).tobytes()).decode()


def made_up(num: int) -> dict[str, dict]:
    """Answers of a collection of ten clusters."""
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 10, num)
    points = (rng.normal(size=(10, 2)) * 3)[kinds] + rng.normal(size=(num, 2))
    known = {"labels": [f"class {i}" for i in range(10)], "class_of": columns(kinds, "<i4")}
    places = {"x": columns(points[:, 0], "<f4"), "y": columns(points[:, 1], "<f4"), "axes": ["first", "second"]}
    return {
        "data": {
            "num": num,
            "names": [f"{i}.png" for i in range(num)],
            "part": columns(1 + (kinds == 0), "u1"),
            "note": "",
            "version": "0",
            **known,
        },
        "positions": {"n": num, "centre": None, "directions": None, **places, **known},
        "known": {"known": {}},
    }


def always(body: str | bytes, kind: str):
    """A handler of Playwright that answers every request alike."""
    return lambda route: route.fulfill(body=body, content_type=kind)


def replace_collection(page, num: int) -> None:
    """Makes a page of Playwright see a made-up collection of so many pictures."""
    picture = io.BytesIO()
    Image.new("RGB", (64, 64), "grey").save(picture, "PNG")
    for name, answer in made_up(num).items():
        page.route(f"**/api/{name}", always(json.dumps(answer), "application/json"))
    page.route("**/picture/**", always(picture.getvalue(), "image/png"))


def say(what: str, frames: list[list[float]], seconds: float) -> None:
    scripts = sorted(length for _, length in frames)
    print(
        f"{what}: {len(frames) / seconds:.1f} frames a second; script a frame: median {median(scripts):.1f} ms, "
        f"95% below {scripts[int(0.95 * len(scripts))]:.1f} ms",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=4)
    args = parser.parse_args()
    from playwright.sync_api import sync_playwright

    page = explore(vlae.load(args.run), wait=False)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        replace_collection(tab, args.points)
        tab.goto(page.local_url)
        tab.wait_for_selector("html[data-vlae=ready]:not([data-busy])")
        began = time.perf_counter()
        tab.get_by_role("tab", name="Map").click()
        tab.wait_for_selector("#nearest[src]")
        print(f"from the click to the map of {args.points:,}: {time.perf_counter() - began:.2f} s", flush=True)
        tab.wait_for_timeout(1000)
        for what in ("left alone", "dragged", "zoomed"):
            say(what, tab.evaluate(DRIVE, [what, args.seconds]), args.seconds)
        browser.close()
    page.close()
    codes = np.random.default_rng(0).normal(size=(args.points, 16)).astype(np.float32)
    for method in ("pca", "tsne"):
        start, cpu = time.perf_counter(), time.process_time()
        place_on_plane(codes, method)
        wall = time.perf_counter() - start
        print(f"placed by {method}: {wall:.1f} s, {time.process_time() - cpu:.1f} s of processor time", flush=True)


if __name__ == "__main__":
    main()
