"""The map of the page in a real browser: what a visitor does by mouse, touch and keyboard, and what is drawn."""

import base64
import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from blocks import draw_blocks
from PIL import Image

from vlae.web import app
from vlae.workflows import train

pytestmark = pytest.mark.slow

CHROMIUM = shutil.which("chromium")
MANY = 100_000
PICTURE = io.BytesIO()
Image.new("RGB", (8, 8)).save(PICTURE, "PNG")

# A browser that takes the software that draws WebGL here for a graphics card.
AS_A_CARD = """
  const context = HTMLCanvasElement.prototype.getContext;
  HTMLCanvasElement.prototype.getContext = function (kind, options) {
    const wanted = { ...options, failIfMajorPerformanceCaveat: false, preserveDrawingBuffer: true };
    const made = context.call(this, kind, wanted);
    if (kind === "webgl" && made) {
      made.getExtension = () => null;
      window.drawnBy = "webgl";
    }
    return made;
  };
"""
HEARD = 'document.addEventListener("vlae-select", (event) => (window.heard = event.detail.numbers))'


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A ladder of red and blue blocks, whose level 2 has a code of two dimensions."""
    folder = tmp_path_factory.mktemp("map")
    draw_blocks(folder / "blocks")
    run = train(folder / "blocks", out=folder / "run", code_sizes=(4, 2), steps=40, batch_size=32, progress=False)
    page = app.explore(run, wait=False)
    yield page.local_url
    page.close()


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("the page is tested in Debian's chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--disable-background-networking", "--enable-unsafe-swiftshader"]
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=flags)


@pytest.fixture
def visit(browser, address):
    """Opens the map as a new visitor; in the end nothing may have failed, or been forbidden by the page's policy."""
    contexts, amiss = [], []

    def open_map(*, script="", answers=None, **options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 1000}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda said: said.type == "error" and amiss.append(said.text))
        page.on("pageerror", lambda error: amiss.append(str(error)))
        page.add_init_script(HEARD + "\n" + script)
        for name, answer in (answers or {}).items():
            page.route(f"**/api/{name}", _always(json.dumps(answer), "application/json"))
            page.route("**/picture/**", _always(PICTURE.getvalue(), "image/png"))
        page.goto(f"{address}#tab=map")
        page.wait_for_selector("#nearest[src]")
        page.wait_for_timeout(600)  # small pictures come when the view rests
        return page

    yield open_map
    for context in contexts:
        context.close()
    assert amiss == []


def _always(body, kind):
    return lambda route: route.fulfill(body=body, content_type=kind)


def until(page, condition, arg=None):
    for _ in range(1000):
        if page.evaluate(condition, arg):
            return
        page.wait_for_timeout(30)
    raise AssertionError(f"never became true: {condition}")


def asked(page, name, *question):
    """What the server answers to a question of the page."""
    ask = """async ([name, question]) => (await fetch(`./api/${name}`, { method: "POST", body: JSON.stringify(question),
        headers: { "Content-Type": "application/json" } })).json()"""
    return page.evaluate(ask, [name, question])


def positions(page, level=2, method="code"):
    """Where each picture lies on the page, in pixels from the plot's corner: (n, 2); and the answer itself."""
    answer = asked(page, "positions", level, method)
    x, y = (np.frombuffer(base64.b64decode(answer[axis]), "<f4") for axis in "xy")
    box = page.locator(".plot").bounding_box()
    width, height, margin = box["width"] - 2, box["height"] - 2, 34
    across = margin + (x - x.min()) / (x.max() - x.min()) * (width - 2 * margin) + 1
    down = margin + (y.max() - y) / (y.max() - y.min()) * (height - 2 * margin) + 1
    return np.stack([across, down], 1).astype(float), answer


def drawn(page, layer=0):
    """What is drawn on a layer of the plot, RGBA."""
    url = page.locator(".plot canvas").nth(layer).evaluate("(canvas) => canvas.toDataURL()")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGBA")).astype(int)


def status(page):
    return page.locator(".plot + [role=status]").inner_text()


def numbers(page):
    return page.evaluate("window.heard")


def test_a_click_shows_the_nearest_picture_and_decodes_the_place(visit):
    page = visit()
    at, _ = positions(page)
    answer = asked(page, "data")
    target = int(at[:, 0].argmin())
    before = page.locator("#decoded").get_attribute("src")
    page.locator(".plot").click(position={"x": at[target, 0] - 3, "y": at[target, 1]})
    label = answer["labels"][np.frombuffer(base64.b64decode(answer["class_of"]), "<i4")[target]]
    assert status(page).endswith(f".png, {label}")
    assert f"picture/{target}?" in page.locator("#nearest").get_attribute("src")
    until(page, "(before) => document.querySelector('#decoded').src !== before", before)
    page.get_by_role("button", name="Open the decoded in Levels").click()
    assert "a point of the map" in page.locator("#origin").inner_text()


def test_hover_shows_the_picture(visit):
    page = visit()
    at, _ = positions(page)
    here = at[at[:, 1].argmin()]
    assert page.locator(".tip").is_hidden()
    page.locator(".plot").hover(position={"x": here[0], "y": here[1]})
    page.locator(".tip").wait_for()
    shown = int(page.locator(".tip img").get_attribute("src").split("/")[1].split("?")[0])
    far = np.hypot(*(at - here).T)
    assert far[shown] <= far.min() + 2 and far.max() > 100


def test_by_keyboard(visit):
    page = visit()
    at, _ = positions(page)
    chosen = lambda: int(page.locator("#nearest").get_attribute("src").split("/")[1].split("?")[0])  # noqa: E731
    page.locator(".plot").focus()
    for key, axis, sign in (("ArrowRight", 0, 1), ("ArrowUp", 1, -1), ("ArrowLeft", 0, -1), ("ArrowDown", 1, 1)):
        before = chosen()
        page.keyboard.press(key)
        moved = sign * (at[chosen()] - at[before])
        assert chosen() == before or moved[axis] >= np.abs(moved).max() - 1, key
    first = chosen()
    page.keyboard.press("Space")
    assert numbers(page) == [first] and status(page) == "1 selected"
    page.keyboard.press("ArrowLeft")
    second = chosen()
    assert second != first and status(page).endswith("; 1 selected")
    page.keyboard.press("Space")
    assert numbers(page) == sorted([first, second])
    page.keyboard.press("Space")
    assert numbers(page) == [first]
    page.keyboard.press("Escape")
    assert numbers(page) == [] and status(page) == "nothing selected"
    still = drawn(page, 1)
    for keys in (("+", "0"), ("Shift+ArrowRight", "Shift+ArrowLeft")):
        page.keyboard.press(keys[0])
        page.wait_for_timeout(400)
        assert (drawn(page, 1) != still).any(), keys
        page.keyboard.press(keys[1])
    page.keyboard.press("Enter")
    assert page.locator("dialog.viewer h3").inner_text().endswith(".png")


def test_the_lasso_selects_what_is_in_it(visit):
    page = visit()
    at, _ = positions(page)
    box = page.locator(".plot").bounding_box()
    left, bottom = np.median(at, 0) + 0.5
    inside = [int(i) for i in np.flatnonzero((at[:, 0] < left) & (at[:, 1] > bottom))]
    assert 0 < len(inside) < len(at)
    page.get_by_role("button", name="Lasso").click()
    corners = [(2, bottom), (left, bottom), (left, box["height"] - 3), (2, box["height"] - 3)]
    page.mouse.move(box["x"] + corners[0][0], box["y"] + corners[0][1])
    page.mouse.down()
    for x, y in corners[1:]:
        page.mouse.move(box["x"] + x, box["y"] + y, steps=4)
    page.mouse.up()
    assert numbers(page) == inside
    assert f"{len(inside)} pictures selected" in page.locator(".selected h3").inner_text()
    page.locator(".selected .tile").last.click()
    assert status(page).endswith(f"; {len(inside)} selected")
    page.get_by_role("button", name="Select nothing").click()
    assert numbers(page) == [] and page.locator(".selected").is_hidden()


def test_what_is_selected_elsewhere_is_shown(visit):
    page = visit()
    page.get_by_label("as pictures").uncheck()
    page.wait_for_timeout(400)
    opaque = lambda: int((drawn(page)[..., 3] == 255).sum())  # noqa: E731
    everything = opaque()
    page.evaluate("document.dispatchEvent(new CustomEvent('vlae-select', { detail: { numbers: [3, 5, 1000000] } }))")
    page.wait_for_timeout(400)
    assert 0 < opaque() < everything / 10
    assert page.locator(".selected .tile").count() == 2


def test_colours(visit):
    page = visit()
    page.get_by_label("as pictures").uncheck()
    assert page.locator(".legend").inner_text().split() == ["blue", "red"]
    page.get_by_role("button", name="red").click()
    assert len(numbers(page)) == 60
    page.get_by_role("button", name="Select nothing").click()
    by_label = drawn(page)
    page.get_by_label("Coloured by").select_option("part")
    assert page.locator(".legend").inner_text().split("\n") == ["training", "held out"]
    page.wait_for_timeout(400)
    assert (drawn(page) != by_label).any()
    page.get_by_label("Coloured by").select_option("brightness")
    assert "high (" in page.locator(".legend").inner_text()


def test_pca_is_shown_until_the_neighbourhood_is_ready(visit):
    page = visit()
    held = []

    def hold(route):
        if "tsne" in route.request.post_data:
            held.append(route)
        else:
            route.continue_()

    page.route("**/api/positions", hold)
    page.locator("#vlae-map select").nth(1).select_option("tsne")
    wait = page.locator(".mapped [role=status]").nth(1)
    wait.get_by_text("Until then PCA is shown").wait_for()
    before = drawn(page, 1)
    while not held:
        page.wait_for_timeout(50)
    held[0].continue_()
    until(page, "[...document.querySelectorAll('.mapped [role=status]')][1].textContent === ''")
    page.wait_for_timeout(400)
    assert (drawn(page, 1) != before).any() and wait.inner_text() == ""
    assert page.locator("#decoded").is_hidden()  # t-SNE leads back to no code


def test_touch(visit):
    page = visit(has_touch=True, viewport={"width": 390, "height": 844})
    page.get_by_label("as pictures").uncheck()
    page.wait_for_timeout(400)
    page.locator(".plot").scroll_into_view_if_needed()
    box = page.locator(".plot").bounding_box()
    before = drawn(page)
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.touchscreen.tap(x - 60, y - 60)
    assert ".png" in status(page)
    fingers = page.context.new_cdp_session(page)

    def touch(kind, *places):
        points = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(places)]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", (x - 20, y), (x + 20, y))
    for apart in (40, 60, 80, 100):
        touch("touchMove", (x - apart, y), (x + apart, y))
    touch("touchEnd")
    page.wait_for_timeout(400)
    closer = drawn(page)
    assert (closer[..., 3] > 0).sum() != (before[..., 3] > 0).sum()
    touch("touchStart", (x, y))
    touch("touchMove", (x + 40, y + 30))
    touch("touchEnd")
    page.wait_for_timeout(400)
    assert (drawn(page) != closer).any()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def many():
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 12, MANY)
    points = (3 * rng.normal(size=(12, 2)))[kinds] + rng.normal(size=(MANY, 2))
    column = lambda values, kind: base64.b64encode(np.ascontiguousarray(values, kind).tobytes()).decode()  # noqa: E731
    known = {"labels": [f"class {i}" for i in range(12)], "class_of": column(kinds, "<i4")}
    whole = {"names": [f"{i}.png" for i in range(MANY)], "part": column(1 + (kinds == 0), "u1")}
    places = {"x": column(points[:, 0], "<f4"), "y": column(points[:, 1], "<f4"), "axes": ["first", "second"]}
    return {
        "data": {
            "num": MANY,
            **whole,
            "note": "",
            "version": "0",
            **known,
        },
        "positions": {"n": MANY, "centre": None, "directions": None, **places},
        "known": {"known": {}},
    }


def test_the_card_and_the_processor_draw_the_same(visit, tmp_path):
    folder = Path(os.environ.get("VLAE_SCREENSHOTS") or tmp_path)
    answers, seen = many(), []
    for script in ("", AS_A_CARD):
        page = visit(script=script, answers=answers)
        assert page.evaluate("window.drawnBy ?? ''") == ("webgl" if script else "")
        page.get_by_role("button", name="2 others").click()
        page.wait_for_timeout(1500)
        seen.append(drawn(page))
        page.screenshot(path=folder / f"map-{'card' if script else 'processor'}.png")
    one, two = seen
    assert one.shape == two.shape
    covered = [(image[..., 3] > 0).mean() for image in seen]
    assert min(covered) > 0.1 and abs(covered[0] - covered[1]) < 0.06
    full = [image[image[..., 3] == 255][:, :3] for image in seen]  # the selected, whose colour mixes at the edges
    assert [np.median(colours, 0).tolist() for colours in full] == [[205, 209, 216]] * 2
