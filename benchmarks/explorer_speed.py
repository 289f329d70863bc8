"""How fast the page is: from the command to the page, from a slider's move to the new picture, and for many at once.

    python benchmarks/explorer_speed.py RUN [--moves 50] [--users 20]

Needs `pip install "vlae[web]" playwright` and Debian's chromium.
"""

import argparse
import json
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
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


PICTURES = 20  # that each of many users asks for


def ask(address: str, name: str, *arguments: object) -> dict:
    """Asks the page's API a question."""
    headers = {"Content-Type": "application/json"}
    with urllib.request.urlopen(
        urllib.request.Request(f"{address}api/{name}", json.dumps(arguments).encode(), headers)
    ) as answer:
        return json.load(answer)


def use(address: str, user: int) -> list[float]:
    """Moves a slider as fast as the server answers, and returns the milliseconds of each move."""
    noise = ask(address, "datum", user)["noise"]
    times = []
    for i in range(PICTURES):
        noise[0][0] = -3 + 6 * i / PICTURES
        start = time.perf_counter()
        ask(address, "picture", noise)
        times.append(1000 * (time.perf_counter() - start))
    return times


def say(what: str, times: list[float]) -> None:
    times = sorted(times)
    print(
        f"{what}: median {median(times):.0f} ms, 95% below {times[int(0.95 * len(times))]:.0f}, longest {times[-1]:.0f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--moves", type=int, default=50)
    parser.add_argument("--users", type=int, default=20)
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
            page.wait_for_selector(".cell .shown.there")
            print(f"to the first picture:         {time.perf_counter() - began:.2f} s")
            page.get_by_role("tab", name="Levels").click()
            page.wait_for_selector("#live[src]")
            page.wait_for_selector("html:not([data-busy])")
            say(f"{args.moves} moves of a slider", page.evaluate(MOVE, args.moves))
            browser.close()
        with ThreadPoolExecutor(args.users) as users:
            times = list(chain.from_iterable(users.map(lambda user: use(address, user), range(args.users))))
        say(f"{args.users} users at once, {PICTURES} pictures each", times)
        began = time.perf_counter()
        server.send_signal(signal.SIGINT)
        server.wait()
        print(f"from Ctrl-C to the end:       {time.perf_counter() - began:.2f} s")
    finally:
        server.kill()


if __name__ == "__main__":
    main()
