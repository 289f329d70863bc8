"""How fast the page is, in a real browser: from a slider's move to the new picture, and from the command to the page.

    python benchmarks/explorer_speed.py RUN [--moves 50]

Needs `pip install "vlae[web]" playwright` and Debian's chromium.
"""

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

MOVE = """async (moves) => {
  const slider = document.querySelector(".level input[type=range]");
  const live = document.querySelector("#live");
  const frame = () => new Promise((resolve) => requestAnimationFrame(() => resolve()));
  const times = [];
  for (let i = 0; i < moves; i++) {
    await new Promise((resolve) => setTimeout(resolve, 500)); // the strips are drawn meanwhile
    const before = live.src;
    const start = performance.now();
    slider.value = (i % 2 ? 1 : -1) * (0.5 + (2 * i) / moves);
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    while (live.src === before) await frame();
    await live.decode();
    await frame();
    times.push(performance.now() - start);
  }
  return times;
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--moves", type=int, default=50)
    args = parser.parse_args()

    from playwright.sync_api import sync_playwright

    vlae = Path(sys.executable).parent / "vlae"
    began = time.perf_counter()
    server = subprocess.Popen([vlae, "explore", args.run], stdout=subprocess.PIPE, text=True)
    try:
        address = server.stdout.readline().split()[1]
        print(f"from the command to the page: {time.perf_counter() - began:.2f} s")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.goto(address)
            page.wait_for_selector("#live[src]")
            page.wait_for_function("!document.documentElement.hasAttribute('data-busy')")
            print(f"to the first picture:         {time.perf_counter() - began:.2f} s")
            times = sorted(page.evaluate(MOVE, args.moves))
            print(
                f"{args.moves} moves of a slider: median {median(times):.0f} ms, "
                f"9 in 10 below {times[int(0.9 * len(times))]:.0f} ms, longest {times[-1]:.0f} ms"
            )
            browser.close()
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
