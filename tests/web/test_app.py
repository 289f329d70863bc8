"""The page in a real browser, as a visitor meets it."""

import base64
import io
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from blocks import draw_blocks
from PIL import Image

import vlae
from vlae.web import app, uploads
from vlae.workflows import train

pytestmark = pytest.mark.slow

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
TABS = ("Pictures", "Levels", "Mix", "Map", "Neighbours", "Card")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A ladder of bright and dark, red and blue blocks: two classes, three levels, one of them without a code."""
    folder = tmp_path_factory.mktemp("explorer")
    draw_blocks(folder / "blocks")
    return train(folder / "blocks", out=folder / "run", code_sizes=(4, 0, 2), steps=60, batch_size=32, progress=False)


@pytest.fixture(scope="module")
def address(run):
    page = app.explore(run, wait=False)
    yield page.local_url
    page.close()


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("the page is tested in Debian's chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)


@pytest.fixture(scope="module")
def screenshots(tmp_path_factory):
    """Where pictures of the page are left, to be looked at."""
    folder = Path(os.environ.get("VLAE_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def visit(browser, address):
    """Opens the page as a new visitor; in the end nothing may have failed, and nothing been asked of elsewhere."""
    contexts, amiss = [], []

    def open_page(link=f"{address}#tab=levels", *, refused=False, **options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on(
            "console",
            lambda message: (
                message.type in ("error", "warning")
                and not (refused and "status of 400" in message.text)
                and amiss.append(message.text)
            ),
        )
        page.on("pageerror", lambda error: amiss.append(str(error)))
        page.on("requestfailed", lambda asked: amiss.append(f"failed: {asked.url[:100]}"))
        fine = {200, 400} if refused else {200}
        page.on("response", lambda got: got.status not in fine and amiss.append(f"{got.status}: {got.url[:100]}"))
        page.on("request", lambda asked: _is_near(asked.url) or amiss.append(f"left the machine: {asked.url}"))
        page.goto(link)
        page.wait_for_selector("html[data-vlae=ready]")
        page.wait_for_selector("#live[src]", state="attached")
        settle(page)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert amiss == []


def _is_near(url):
    return url.startswith(("http://127.0.0.1:", "data:", "blob:"))


def settle(page):
    """Waits until nothing more is to come."""
    page.wait_for_selector("html:not([data-busy])")


def until(page, condition, arg=None):
    """Waits until a condition holds. The page's policy forbids what Playwright's own wait_for_function does."""
    for _ in range(1000):
        if page.evaluate(condition, arg):
            return
        page.wait_for_timeout(30)
    raise AssertionError(f"never became true: {condition}")


def pixels(page, selector):
    source = page.locator(selector).get_attribute("src")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source.split(",")[1])))).astype(int)


def changed(page, selector, before):
    """Waits until the picture is another, and says how far from what it was."""
    until(page, "([selector, before]) => document.querySelector(selector).src !== before", [selector, before])
    now = page.locator(selector).get_attribute("src")
    decoded = [np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1])))) for url in (before, now)]
    return np.abs(decoded[0].astype(int) - decoded[1]).max()


def source(page, selector="#live"):
    return page.locator(selector).get_attribute("src")


def open_tab(page, name):
    page.get_by_role("tab", name=name, exact=True).click()
    settle(page)


def png(picture):
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG")
    return stream.getvalue()


# Pictures


def show(page, value):
    page.locator("#vlae-pictures select").first.select_option(value)
    settle(page)


def names(page):
    labels = page.locator(".cell[data-number]").evaluate_all("all => all.map(one => one.getAttribute('aria-label'))")
    return [label.split(",")[0] for label in labels]


def test_every_picture_is_shown_and_filtered(visit, address, run):
    page = visit(address)
    assert page.get_by_role("tab", name="Pictures").get_attribute("aria-selected") == "true"
    page.wait_for_selector(".cell .shown.there")
    assert page.locator("#vlae-pictures [role=status]", has_text="120 pictures").count() == 1
    assert names(page)[:3] == ["blue/0.png", "blue/1.png", "blue/2.png"]
    page.get_by_role("combobox", name="Part").select_option("held out")
    settle(page)
    assert sorted(names(page)) == sorted(run.part("test").names)
    page.get_by_role("combobox", name="Part").select_option("")
    page.get_by_role("combobox", name="Label").select_option("red")
    page.get_by_label("Name contains").fill("/7.")
    until(page, "document.querySelectorAll('.cell[data-number]').length === 1")
    settle(page)
    assert names(page) == ["red/7.png"]


def test_a_list_that_waits_for_the_server_does_not_keep_another_from_being_shown(visit, address):
    page = visit(address)
    page.wait_for_selector(".cell .shown.there")
    page.evaluate("phase = 'encoding'")  # as if it were still at work
    page.locator("#vlae-pictures select").first.select_option("odd")
    until(page, "document.querySelector('.gallery').getAttribute('aria-busy') === 'true'")
    page.get_by_role("combobox", name="Label").select_option("red")
    page.locator("#vlae-pictures select").first.select_option("name")
    until(page, "document.querySelector('.gallery').getAttribute('aria-busy') === 'false'")
    assert names(page)[:3] == ["red/0.png", "red/1.png", "red/2.png"]


def test_nearest_oddest_and_groups_say_why(visit, address):
    page = visit(address)
    for mode in ("near", "odd"):
        show(page, mode)
        until(page, "document.querySelector('.cell .because')?.textContent.startsWith('Level ')")
    page.locator(".cell[data-number]").first.click()
    page.wait_for_selector(".viewer .reason .end .tile")
    assert page.locator(".viewer .reason").count() == 2 and page.locator(".viewer .end .tile").count() == 12
    before = page.locator(".viewer h3").inner_text()
    page.keyboard.press("ArrowRight")
    until(page, "before => document.querySelector('.viewer h3').textContent !== before", before)
    page.get_by_role("button", name="Nearest…").click()
    page.wait_for_selector(".viewer", state="detached")
    settle(page)
    page.get_by_label("Level 1", exact=True).uncheck()
    settle(page)
    show(page, "groups")
    assert page.locator(".heading").count() > 1
    show(page, "along")
    values = [float(value.replace("−", "-")) for value in page.locator(".cell .value").all_inner_texts()]
    assert values == sorted(values, reverse=True)


def test_selecting_tagging_and_exporting_by_keyboard(visit, address):
    page = visit(address)
    page.wait_for_selector(".cell[tabindex='0']").focus()
    page.keyboard.press(" ")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    assert page.locator(".cell[aria-selected=true]").count() == 3
    page.keyboard.press("Escape")
    for key in ("ArrowRight", "Shift+ArrowRight"):  # from where it begins, not from the first
        page.keyboard.press(key)
    assert page.locator(".cell[aria-selected=true]").count() == 2
    page.keyboard.press("End")
    assert int(page.evaluate("document.activeElement.dataset.number")) >= 0
    assert page.locator(".cell[data-number]").count() == 120
    assert page.evaluate("document.activeElement === [...document.querySelectorAll('.cell[data-number]')].at(-1)")
    page.keyboard.press("Home")
    page.keyboard.press("Escape")
    page.keyboard.press(" ")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    page.locator(".selection-bar input").fill("=nice")
    page.get_by_role("button", name="Tag", exact=True).click()
    page.get_by_role("button", name="Export…", exact=True).click()
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    rows = Path(download.value.path()).read_text().split("\n")
    assert rows[0].strip() == "name,part,label,tags"
    assert rows[1].startswith("blue/0.png,") and rows[1].strip().endswith(",blue,'=nice")
    page.get_by_role("button", name="Export…", exact=True).click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Parquet").click()
    assert Path(download.value.path()).read_bytes()[:4] == b"PAR1"
    page.reload()
    page.wait_for_selector(".cell .shown.there")
    until(page, "[...document.querySelectorAll('#vlae-pictures option')].some((one) => one.text === '=nice (3)')")
    event = "new CustomEvent('vlae-select', { detail: { numbers: [5, 6, -1, 'x', 9999] } })"
    page.evaluate(f"document.dispatchEvent({event})")
    assert page.locator(".selection-bar strong").inner_text() == "2 pictures selected"
    settle(page)


def come_back(page):
    page.wait_for_load_state("networkidle")  # pictures that are still coming would count as failed
    page.reload()
    page.wait_for_selector(".cell .shown.there")


def tag(page, numbers, words, button="Tag"):
    page.evaluate(f"document.dispatchEvent(new CustomEvent('vlae-select', {{ detail: {{ numbers: [{numbers}] }} }}))")
    page.locator(".selection-bar input").fill(words)
    page.get_by_role("button", name=button, exact=True).click()
    settle(page)


def wait_for_tags(page, *expected):
    choices = "[...document.querySelectorAll('#vlae-pictures option')].map((one) => one.text)"
    until(
        page,
        f"all => String({choices}.filter((text) => / [(][0-9]+[)]$/.test(text)).sort()) === all",
        ",".join(expected),
    )


def kept(page):
    return page.evaluate(
        "Object.fromEntries(Object.entries(localStorage).map(([key, text]) => [key, JSON.parse(text)]))"
    )


@pytest.mark.parametrize("shown", ["blocks", "photos"])
def test_tags_outlive_the_visit_of_another_collection(visit, address, shown):
    page = visit(address)
    tag(page, 0, "constructor")
    tag(page, 1, "__proto__")
    before = kept(page)

    def another(route):
        response = route.fetch()
        answer = response.json()
        answer |= {"shown": shown} if "shown" in answer else {"names": [f"new {name}" for name in answer["names"]]}
        route.fulfill(response=response, json=answer)

    for name in ("data", "describe"):
        page.route(f"**/api/{name}", another)
    come_back(page)
    assert kept(page) == before
    tag(page, 3, "nice")
    wait_for_tags(page, "nice (1)")
    page.unroute_all()
    come_back(page)
    wait_for_tags(page, "__proto__ (1)", "constructor (1)")
    own = "vlae tags of run on blocks"
    assert all(kept(page)[own][name] == names for name, names in before[own].items())


def test_windows_share_their_tags(visit, address):
    one = visit(address)
    two = one.context.new_page()
    two.goto(address)
    wait_for_tags(two)
    two.wait_for_selector(".cell .shown.there")
    tag(one, 0, "nice")
    tag(two, 1, "nice")
    tag(two, 1, "odd")
    for page in (one, two):
        wait_for_tags(page, "nice (2)", "odd (1)")
    tag(one, 1, "odd", "Untag")
    for page in (one, two):
        wait_for_tags(page, "nice (2)")
    one.evaluate("() => { Storage.prototype.setItem = () => { throw new Error('full'); }; }")
    tag(one, 4, "own")
    assert "export the tags" in one.locator(".vlae-message").inner_text()
    tag(two, 5, "other")
    wait_for_tags(one, "nice (2)", "other (1)", "own (1)")
    wait_for_tags(two, "nice (2)", "other (1)")


def test_tags_of_earlier_versions_are_found(visit, address):
    page = visit(address)
    old = {"old": ["blue/0.png", "gone.png"]}
    page.evaluate("text => (localStorage.clear(), localStorage.setItem('vlae tags of run', text))", json.dumps(old))
    come_back(page)
    wait_for_tags(page, "old (1)")
    assert kept(page) == {"vlae tags of run": old}
    tag(page, 2, "new")
    assert kept(page)["vlae tags of run on blocks"]["old"] == old["old"]
    tag(page, "...Array(120).keys()", "old", "Untag")
    come_back(page)
    wait_for_tags(page, "new (1)")


def test_all_of_folded_groups_is_selected_and_exported(visit, address):
    page = visit(address)
    show(page, "groups")
    until(page, "document.querySelectorAll('.cell[data-number]').length < 120")
    assert page.locator("#vlae-pictures [role=status]", has_text="120 pictures").count() == 1
    page.get_by_role("button", name="Export all shown…").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    rows = Path(download.value.path()).read_text().splitlines()[1:]
    assert len(set(rows)) == len(rows) == 120
    page.get_by_role("button", name="Select all shown").click()
    assert page.locator(".selection-bar strong").inner_text() == "120 pictures selected"
    page.get_by_role("button", name="Clear", exact=True).click()
    page.locator(".cell[data-number]").first.focus()
    page.keyboard.press("Control+a")
    assert page.locator(".selection-bar strong").inner_text() == "120 pictures selected"
    page.wait_for_load_state("networkidle")


def test_of_two_groups_with_like_headings_each_is_opened_by_its_own_button(visit, address):
    page = visit(address)
    sets = [list(range(15)), list(range(20, 35))]
    page.route("**/api/copies", lambda route: route.fulfill(json={"sets": sets}))
    show(page, "copies")
    page.get_by_role("button", name="Show the other 3").last.click()
    shown = page.locator(".cell[data-number]").evaluate_all("all => all.map((one) => Number(one.dataset.number))")
    assert shown == [*range(12), *range(20, 35)]
    page.wait_for_load_state("networkidle")


def test_slow_and_missing_pictures_show_no_broken_icon(browser, address):
    context = browser.new_context()
    page = context.new_page()
    held = []
    page.route("**/picture/*", lambda route: held.append(route))
    page.goto(address)
    page.wait_for_selector(".cell[data-number]")
    until(page, "getComputedStyle(document.querySelector('.cell .shown'), '::before').animationName === 'shimmer'")
    assert page.locator(".shown.there").count() == 0
    page.wait_for_timeout(300)
    for route in held:
        route.abort()
    page.wait_for_selector(".cell .shown.missing")
    broken = "(one) => !one.naturalWidth && getComputedStyle(one).opacity !== '0' && one.offsetParent"
    until(page, f"![...document.images].some({broken})")
    context.close()


# Levels


def test_a_slider_changes_the_picture(visit):
    page = visit()
    assert "Level 1" in page.locator("#level-1 h3").inner_text()
    assert page.locator("#level-2").count() == 0  # it has no code
    assert page.locator("#level-1 input[type=range]").count() == 4
    for value in ("3", "-3"):
        before = source(page)
        page.locator("#level-1 input[type=range]").first.fill(value)
        assert changed(page, "#live", before) > 20
    assert page.locator("#level-1 output").first.inner_text() == "-3.00"


def test_the_last_of_many_moves_is_what_is_shown(visit):
    page = visit()
    slider = page.locator("#level-1 input[type=range]").first
    slider.evaluate(
        """(slider) => { for (let i = 0; i <= 60; i++) {
            slider.value = -3 + i / 10; slider.dispatchEvent(new Event("input", { bubbles: true })); } }"""
    )
    settle(page)
    shown = source(page)
    asked = []
    page.on("request", lambda request: asked.append(request.url.rsplit("/", 1)[-1]))
    slider.fill("0")
    changed(page, "#live", shown)
    before = source(page)
    slider.fill("3")
    changed(page, "#live", before)
    assert source(page) == shown
    assert asked.count("picture") == 2


def test_by_keyboard(visit):
    page = visit()
    page.locator("#level-1 input[type=range]").first.focus()
    before = source(page)
    page.keyboard.press("End")
    changed(page, "#live", before)
    before = source(page)
    page.keyboard.press("Home")
    assert changed(page, "#live", before) > 20
    page.locator("#level-3 .pad").focus()
    before = page.locator("#level-3 output").all_inner_texts()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowUp")
    assert page.locator("#level-3 output").all_inner_texts() != before
    page.get_by_role("tab", name="Levels").focus()
    page.keyboard.press("ArrowLeft")
    assert page.get_by_role("tab", name="Pictures").get_attribute("aria-selected") == "true"
    page.keyboard.press("ArrowLeft")
    assert page.get_by_role("tab", name="Card").get_attribute("aria-selected") == "true"
    settle(page)


def test_the_pad_and_the_strip(visit):
    page = visit()
    before = source(page)
    page.locator("#level-3 .pad").click(position={"x": 12, "y": 12})
    assert changed(page, "#live", before) > 5
    settle(page)
    codes = page.locator("#level-1 output").all_inner_texts()
    before = source(page)
    page.locator("#level-1 .strip .tile").nth(2).click()
    changed(page, "#live", before)
    assert page.locator("#level-1 output").all_inner_texts() != codes
    page.locator("#level-1").get_by_role("button", name="Reset").click()
    settle(page)
    assert page.locator("#level-1 output").all_inner_texts() == codes
    others = page.locator("#level-3 output").all_inner_texts()
    page.locator("#level-1").get_by_role("button", name="Resample").click()
    settle(page)
    assert page.locator("#level-1 output").all_inner_texts() != codes
    assert page.locator("#level-3 output").all_inner_texts() == others


def test_random_draws_are_of_the_fitted_prior_or_of_n01(visit, run):
    page = visit()
    assert not run.prior.is_standard
    strip = page.locator("#level-1 .strip .tile").first
    fitted = strip.get_attribute("style")
    page.get_by_role("checkbox").check()
    settle(page)
    assert strip.get_attribute("style") != fitted
    until(page, "location.hash.includes('prior=standard')")
    again = visit(page.url)
    assert again.get_by_role("checkbox").is_checked()


def test_from_the_data_and_back(visit, run):
    page = visit()
    page.get_by_role("button", name="From the data…").first.click()
    name = page.locator(".chooser .tile").nth(3).get_attribute("aria-label").split(",")[0]
    page.locator(".chooser .tile").nth(3).click()
    until(page, "name => document.querySelector('#origin').textContent.includes(name)", name)
    settle(page)
    until(page, "location.hash.includes('from=data:3')")
    original = pixels(page, ".trio img >> nth=0")
    assert np.array_equal(original, run.examples[3].transpose(1, 2, 0))
    page.locator("#level-1").get_by_role("button", name="Copy from an image").click()
    page.wait_for_selector(".chooser .tile")
    page.keyboard.press("Escape")
    page.wait_for_selector(".chooser", state="detached")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the picture").click()
    assert download.value.suggested_filename == "run-picture.png"
    assert Image.open(download.value.path()).size == (16, 16)


def test_upload(visit):
    page = visit()
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:, :, 1] = 200
    before = source(page)
    file = {"name": "mine.png", "mimeType": "image/png", "buffer": png(picture)}
    page.locator("#vlae-levels input[type=file]").set_input_files(file)
    changed(page, "#live", before)
    assert "your picture mine.png" in page.locator("#origin").inner_text()
    assert (pixels(page, ".trio img >> nth=0")[8, 8] == (0, 200, 0)).all()


def test_hostile_uploads_get_a_message(visit, tmp_path):
    page = visit(refused=True)
    good = png(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8))
    huge = good.replace((40).to_bytes(4, "big") * 2, (60_000).to_bytes(4, "big") * 2, 1)
    before = source(page)
    for name, content, words in (
        ("cut.png", good[:200], "cannot be read as a picture"),
        ("huge.png", huge, "cannot be read as a picture"),
        ("words.png", b"not a picture", "it is none of AVIF, BMP"),
        ("empty.png", b"", "it is none of AVIF, BMP"),
        ("large.png", bytes(uploads.MAX_BYTES + 1), "larger than 20 MB"),
    ):
        (tmp_path / name).write_bytes(content)
        page.locator("#vlae-levels input[type=file]").set_input_files(tmp_path / name)
        until(page, "words => document.querySelector('.vlae-message').textContent.includes(words)", words)
        page.locator(".vlae-message").get_by_role("button", name="Close").click()
    assert source(page) == before


# The other tabs


def test_mix(visit):
    page = visit()
    open_tab(page, "Mix")
    page.wait_for_selector(".paths .tile")
    assert page.locator(".swaps .tile").count() == 4
    assert page.locator(".paths .row").count() == 3
    page.get_by_role("button", name="all from A").click()
    settle(page)
    all_a = source(page, "#mixed")
    page.locator(".shares input").first.fill("1")
    assert changed(page, "#mixed", all_a) > 5
    page.get_by_role("button", name="levels 1, 3 from B").click()
    settle(page)
    all_b = source(page, "#mixed")
    page.get_by_role("button", name="Draw Level 1").click()
    settle(page)
    drawn = source(page, "#mixed")
    assert drawn not in (all_a, all_b) and page.locator(".share.drawn").count() == 1
    until(page, "location.hash.includes('drawn=')")
    page.get_by_role("button", name="levels 1, 3 from B").click()
    settle(page)
    assert source(page, "#mixed") == all_b and page.locator(".share.drawn").count() == 0
    page.get_by_role("button", name="Swap A and B").click()
    page.get_by_role("button", name="all from A").click()
    settle(page)
    assert source(page, "#mixed") == all_b
    page.get_by_role("button", name="All levels, 50 % of the way to B").or_(
        page.get_by_role("button", name="all levels, 50 % of the way to B")
    ).first.click()
    assert page.locator(".shares input").last.input_value() == "0.5"
    settle(page)


def test_neighbours(visit):
    page = visit()
    open_tab(page, "Neighbours")
    page.wait_for_selector(".nearest .tile")
    assert page.locator(".nearest .row").count() == 2
    tile = page.locator(".nearest .row").first.locator(".tile").first
    name = tile.get_attribute("aria-label").split(",")[0]
    tile.click()
    until(page, "name => document.querySelector('#vlae-neighbours figcaption').textContent.startsWith(name)", name)
    settle(page)


def test_the_card(visit):
    page = visit()
    open_tab(page, "Card")
    page.wait_for_selector("#vlae-card img")
    words = page.locator("#vlae-card").inner_text()
    assert "KL (nats)" in words and "not been measured yet" in words
    assert "In short" in words and "vlae learned" in words
    before = page.url
    page.locator("#vlae-card a.term", has_text="KL").first.click()
    until(page, "() => document.activeElement.id === 'report-term-rate'")
    assert page.url == before and page.locator("#vlae-card").is_visible()


# Sharing, sizes and colours


def test_a_link_brings_back_what_was_seen(visit, run):
    page = visit()
    page.get_by_role("button", name="New random draw").click()
    settle(page)
    before = source(page)
    page.locator("#level-1 input[type=range]").first.fill("2.5")
    changed(page, "#live", before)
    until(page, r"/codes=([^;&]*,)?2\.5[,;]/.test(location.hash) && location.hash.includes('from=seed')")
    other = visit(page.url)
    assert source(other) == source(page)
    assert other.locator("#level-1 output").all_inner_texts() == page.locator("#level-1 output").all_inner_texts()
    wrong = visit(page.url.replace("run=run", "run=another"))
    wrong.get_by_text("This link is of the run another").wait_for(state="visible", timeout=5_000)
    wrong.wait_for_timeout(300)
    assert wrong.locator(".vlae-message").is_visible()


def test_a_link_keeps_that_all_levels_are_from_a(visit):
    page = visit()
    open_tab(page, "Mix")
    page.get_by_role("button", name="All levels from A").click()
    until(page, "/mix=0,0,0/.test(location.hash)")
    other = visit(page.url)
    settle(other)
    assert pixels(other, "#mixed").tolist() == pixels(page, "#mixed").tolist()


def test_what_goes_wrong_in_a_window_is_told_in_it(visit, address):
    page = visit(address, refused=True)
    page.get_by_role("button", name="Export all shown…").click()
    page.route("**/api/export", lambda route: route.fulfill(json={"error": "no room"}))
    page.get_by_role("button", name="Parquet").click()
    told = page.locator("dialog .vlae-message")
    told.get_by_role("button", name="Close").click()
    assert not told.is_visible()


def test_a_shared_run_without_examples_opens_with_a_draw(run, browser, tmp_path):
    shared = vlae.load(run.save_pretrained(tmp_path / "shared", examples=False))
    served = app.explore(shared, wait=False)
    page = browser.new_context().new_page()
    page.goto(served.local_url)
    page.wait_for_selector("html[data-vlae=ready]")
    settle(page)
    assert "is not shown" in page.locator("#vlae-pictures .note").inner_text()
    for name in TABS:
        open_tab(page, name)
    open_tab(page, "Levels")
    assert page.locator("#live[src]").is_visible()
    page.context.close()
    served.close()


def test_the_state_can_be_copied(visit, address, run):
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy JSON").click()
    page.get_by_role("button", name="Copied").wait_for()
    copied = json.loads(page.evaluate("navigator.clipboard.readText()"))
    assert copied["run"] == "run" and copied["from"] == "data:0"
    expected = [code[0] for code in run.encode(run.examples[0])]
    assert all(np.allclose(a, b, atol=1e-3) for a, b in zip(copied["codes"], expected, strict=True))


def test_two_visitors_do_not_see_each_other(visit):
    one, two = visit(), visit()
    shown, codes = source(two), two.locator("#level-1 output").all_inner_texts()
    before = source(one)
    one.locator("#level-1 input[type=range]").first.fill("3")
    changed(one, "#live", before)
    two.reload()
    two.wait_for_selector("#live[src]")
    settle(two)
    assert source(two) == shown
    assert two.locator("#level-1 output").all_inner_texts() == codes


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_narrow_and_wide_light_and_dark(visit, screenshots, scheme):
    page = visit(color_scheme=scheme)
    for width in (360, 390, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        for tab in TABS:
            open_tab(page, tab)
            page.screenshot(path=screenshots / f"{tab.lower()}-{width}-{scheme}.png", full_page=True)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (tab, width)
        open_tab(page, "Levels")
        page.locator("#level-3 .buttons").scroll_into_view_if_needed()
        assert page.locator("#live").bounding_box()["y"] >= 0  # the picture stays in view
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    light = sum(map(int, re.findall(r"\d+", background)[:3])) / 3
    assert light < 60 if scheme == "dark" else light > 200


def test_the_report_opens_from_disk_without_a_network(browser, run, screenshots):
    context = browser.new_context(viewport={"width": 360, "height": 800}, color_scheme="dark", offline=True)
    page = context.new_page()
    amiss = []
    page.on("requestfailed", lambda asked: amiss.append(asked.url))
    page.on("console", lambda message: amiss.append(message.text))
    page.on("request", lambda asked: asked.url.startswith(("file:", "data:")) or amiss.append(asked.url))
    page.goto((run.path / "report.html").as_uri())
    assert page.locator("h1").inner_text() == "run"
    assert page.evaluate("[...document.images].every((image) => image.naturalWidth > 0)")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.screenshot(path=screenshots / "report-360-dark.png", full_page=True)
    context.close()
    assert amiss == []


# A password, and what is still to come


def test_a_password_opens_the_page_where_its_link_leads(run, browser, screenshots):
    page = app.explore(run, wait=False, password="open sesame")
    context = browser.new_context(viewport={"width": 390, "height": 800})
    try:
        visitor = context.new_page()
        asked = []
        visitor.on("request", lambda request: asked.append(request.url.removeprefix(page.local_url)))
        visitor.goto(f"{page.local_url}#run=run&tab=map")
        assert {address.partition("#")[0] for address in asked if not address.startswith("data:")} == {"", "page.css"}
        assert "run" not in visitor.title()
        visitor.screenshot(path=screenshots / "login-390-light.png")
        visitor.get_by_label("This page is shared with a password.").fill("wrong")
        visitor.keyboard.press("Enter")
        assert visitor.get_by_role("alert").inner_text() == "This is not the password."
        visitor.get_by_label("This page is shared with a password.").fill("open sesame")
        visitor.get_by_role("button", name="Open").click()
        visitor.wait_for_selector("#decoded[src]")
        assert "tab=map" in visitor.url
        (cookie,) = context.cookies()
        assert cookie["httpOnly"] and cookie["sameSite"] == "Strict" and not cookie["secure"]
    finally:
        context.close()
        page.close()


def test_the_page_says_that_it_loads_and_what_went_wrong(browser, address):
    context = browser.new_context()
    page = context.new_page()
    held = []
    page.route("**/api/describe", lambda route: held.append(route))
    page.goto(address)
    assert page.get_by_role("status").inner_text() == "Loading run…"
    until(page, "getComputedStyle(document.body, '::before').opacity === '1'")
    held[0].abort()
    page.wait_for_selector(".vlae-message")
    assert "Is vlae explore still running?" in page.locator(".vlae-message").inner_text()
    assert page.get_by_role("status").count() == 0
    context.close()
