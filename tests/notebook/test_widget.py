"""The widget: its side in the kernel, and its page in a real browser with that side behind it."""

import base64
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from traitlets import TraitError

import vlae
from vlae.errors import MissingExtraError
from vlae.figures.pictures import to_pictures_like
from vlae.notebook import sliders
from vlae.workflows import train

CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    pictures = np.random.default_rng(0).integers(0, 256, (80, 8, 8, 3), dtype=np.uint8)
    folder = tmp_path_factory.mktemp("widget") / "run"
    return train(pictures, out=folder, code_sizes=(2, 0, 3), steps=4, batch_size=8, progress=False)


@pytest.fixture
def widget(run):
    return vlae.widget(run)


def drawn(run, codes):
    decoded = torch.from_numpy(run.decode(codes))
    return to_pictures_like(decoded, run.recipe.shape, run.examples)[0].astype(int)


def near(widget, picture):
    return np.abs(np.asarray(widget.image).astype(int) - picture).max() <= 1


def test_it_starts_from_the_first_held_out_picture(run, widget):
    means = [code[:1] for code in run.encode(run.examples)]
    for code, mean in zip(widget.codes, means, strict=True):
        np.testing.assert_allclose(code, mean, atol=1e-3)
    assert near(widget, drawn(run, means)) and widget.original and widget.num == len(run.examples)
    assert [len(level) for level in widget.noise] == [2, 0, 3]
    assert [level["level"] for level in widget.levels] == [1, 3]


def test_a_slider_moves_the_picture(run, widget):
    before = widget.picture
    noise = [list(level) for level in widget.noise]
    noise[2][1] = 3.5
    widget.noise = noise
    assert widget.picture != before and widget.codes[2][0, 1] == pytest.approx(3.5)
    assert near(widget, drawn(run, widget.codes))


def test_one_level_is_drawn_anew_and_put_back(widget):
    start = widget.noise
    widget.resample(3)
    first = widget.noise
    assert first[0] == start[0] and first[2] != start[2]
    widget.resample(3)
    assert widget.noise[2] != first[2]
    widget.reset(3)
    assert widget.noise == start


def test_it_starts_from_any_picture_or_draw(run, tmp_path):
    from PIL import Image

    pixels = np.random.default_rng(5).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "one.png")
    one = vlae.widget(run, tmp_path / "one.png")
    np.testing.assert_allclose(one.codes[0], run.encode(run.read(tmp_path / "one.png"))[0], atol=1e-3)
    again = vlae.widget(run, run.examples[2])
    one.start_from(2)
    assert one.noise == again.noise and one.original == again.original
    again.draw()
    assert again.noise != one.noise and again.original == b""


def test_of_a_model_without_encoder_it_starts_from_a_draw(run, monkeypatch):
    monkeypatch.setattr(run.model, "lacks", {"encoder": "a test"}, raising=False)
    blind = vlae.widget(run)
    assert blind.num == 0 and blind.original == b"" and blind.picture


@pytest.mark.parametrize("noise", [[[0.0, 0.0]], [[0.0, float("nan")], [], [0.0] * 3], [[0.0, 1e9], [], [0.0] * 3]])
def test_numbers_that_do_not_fit_are_refused(widget, noise):
    before = widget.picture
    with pytest.raises(TraitError):
        widget.noise = noise
    assert widget.picture == before


@pytest.mark.parametrize(
    ("content", "words"),
    [({"action": "resample", "level": 2}, "no level 2 with a code"), ({"action": "start", "index": 99}, "no held-out")],
)
def test_what_cannot_be_done_is_told(widget, content, words):
    widget._do(widget, content, [])
    assert words in widget.message
    widget._do(widget, {"action": "draw"}, [])
    assert widget.message == ""


def test_hostile_messages_change_nothing(widget):
    noise = widget.noise
    for content in ({}, [], {"action": "start"}, {"action": "close"}, {"action": "start", "index": "x"}, None):
        widget._do(widget, content, [])
        assert widget.noise == noise and widget.message


def test_what_is_missing_is_named(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "anywidget", None)
    with pytest.raises(MissingExtraError, match=r'pip install "vlae\[notebook\]"'):
        vlae.widget(run)
    with pytest.raises(ValueError, match="prior is 'best'"):
        sliders.LevelSliders(run, prior="best")


def test_nothing_is_loaded_from_elsewhere():
    for file in Path(sliders.__file__).parent.glob("sliders.*"):
        assert "http" not in file.read_text()


# In a browser --------------------------------------------------------------------------------------------------------

HOST = """
async ([code, state]) => {
  const handlers = {};
  const bytes = (text) => new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
  const take = (news) => {
    for (const [name, value] of Object.entries(news)) {
      const is = ["picture", "original"].includes(name) ? bytes(value) : value;
      state[name] = is;
      (handlers[`change:${name}`] ?? []).forEach((handler) => handler());
    }
  };
  take(state);
  const model = {
    get: (name) => state[name],
    set: (name, value) => { state[name] = value; },
    save_changes: async () => take(await kernel({ noise: state.noise })),
    send: async (content) => take(await kernel({ content })),
    on: (name, handler) => (handlers[name] ??= []).push(handler),
    off: (name, handler) => { handlers[name] = handlers[name].filter((one) => one !== handler); },
  };
  const { default: widget } = await import(`data:text/javascript;base64,${code}`);
  window.clean = widget.render({ model, el: document.querySelector("main") });
  window.handlers = handlers;
}
"""


def state_of(widget):
    pictures = {name: base64.b64encode(getattr(widget, name)).decode() for name in ("picture", "original")}
    return {"noise": widget.noise, "message": widget.message, **pictures}


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("the widget is tested in Debian's chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])


@pytest.fixture
def show(browser):
    """Shows a widget in a page; in the end nothing may have failed."""
    amiss = []

    def open_page(widget, width=900, ground="background: #fff; color: #222"):
        page = browser.new_page(viewport={"width": width, "height": 700})
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: amiss.append(str(error)))
        page.on("console", lambda message: message.type == "error" and amiss.append(message.text))

        def kernel(asked):
            if "noise" in asked:
                widget.noise = asked["noise"]
            else:
                widget._do(widget, asked["content"], [])
            return state_of(widget)

        page.expose_function("kernel", kernel)
        styles = (Path(sliders.__file__).parent / "sliders.css").read_text()
        page.set_content(f'<style>{styles}</style><body style="{ground}"><main></main>')
        code = base64.b64encode((Path(sliders.__file__).parent / "sliders.js").read_bytes()).decode()
        page.evaluate(HOST, [code, {**state_of(widget), "levels": widget.levels, "num": widget.num}])
        page.wait_for_function("document.querySelector('img').naturalWidth > 0")
        if folder := os.environ.get("VLAE_SCREENSHOTS"):
            page.screenshot(path=Path(folder) / f"widget-{width}-{ground[12:16]}.png", full_page=True)
        return page

    yield open_page
    assert amiss == []


@pytest.mark.slow
def test_sliders_and_buttons_in_a_browser(show):
    widget = vlae.widget(vlae.load("streets"))
    page, start = show(widget), widget.noise
    first = page.get_by_alt_text("picture of the codes").get_attribute("src")
    slider = page.get_by_label("Level 3, dimension 2")
    slider.focus()
    page.keyboard.press("End")  # to the most, by keys alone
    page.wait_for_function("before => document.querySelector('img').src !== before", arg=first)
    assert widget.noise[2][1] == 4 and slider.evaluate("input => input.nextSibling.textContent") == "4.00"

    def press(button, slider, is_at):
        page.get_by_role("button", name=button).click()
        stands = (
            f"value => Math.abs(document.querySelector('[aria-label=\"{slider}\"]').value - value) < 0.03 === {is_at}"
        )
        level, dimension = (int(part.split()[-1]) - 1 for part in slider.split(","))
        page.wait_for_function(stands, arg=start[level][dimension])

    press("Reset level 3", "Level 3, dimension 2", "true")
    assert widget.noise == start
    press("Resample level 1", "Level 1, dimension 1", "false")
    assert widget.noise[0] != start[0] and widget.noise[1:] == start[1:]
    page.get_by_label("number of the held-out picture").fill("99")
    page.get_by_role("button", name="Start from it").click()
    page.get_by_role("status").filter(has_text="there is no held-out picture 99").wait_for()
    page.get_by_role("button", name="New draw").click()
    page.get_by_alt_text("starts from").wait_for(state="hidden")
    assert page.get_by_role("status").count() == 0  # what was told is gone
    assert page.evaluate("document.documentElement.scrollWidth") <= 900
    page.evaluate("clean()")
    assert page.evaluate("Object.values(handlers).flat().length") == 0


@pytest.mark.slow
def test_it_fits_a_phone_in_the_dark(show):
    page = show(vlae.widget(vlae.load("streets")), width=390, ground="background: #111; color: #ddd")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
