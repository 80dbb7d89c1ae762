"""The page at ``/`` in a real browser: what a user would look at, by mouse and by keyboard."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from export_folders import random_export, small_export

webdriver = pytest.importorskip("selenium.webdriver", reason="needs pip install .[test]")

from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import Select, WebDriverWait  # noqa: E402

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FOUND = next(filter(None, map(shutil.which, BROWSERS)), None)
DRIVER = shutil.which("chromedriver")
FLAGS = (
    "headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
    "disable-component-update", "disable-sync", "window-size=1280,900",
)  # fmt: skip
TOKEN = "open-sesame"

pytestmark = pytest.mark.skipif(not (FOUND and DRIVER), reason="there is no Chromium with its driver here")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(FOUND)
    for flag in (*FLAGS, f"user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    browser.set_page_load_timeout(60)
    yield browser
    browser.quit()


@pytest.fixture(scope="module")
def small(served: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    return served(small_export(tmp_path_factory.mktemp("page") / "export"))


@pytest.fixture
def page(browser: Any, small: str) -> Iterator[Any]:
    browser.get(small)
    wait(browser, lambda: one(browser, "#tries").is_displayed())
    yield browser
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def wait(browser: Any, true: Callable[[], Any]) -> None:
    WebDriverWait(browser, 20, 0.05).until(lambda _: true())


def one(browser: Any, selector: str) -> Any:
    return browser.find_element("css selector", selector)


def texts(browser: Any, selector: str) -> list[str]:
    return [element.text for element in browser.find_elements("css selector", selector)]


def ask(browser: Any, user: str) -> None:
    field = one(browser, "#user")
    field.clear()
    field.send_keys(user, Keys.ENTER)
    wait(browser, lambda: one(browser, "#who").text == f"User {user}")


def test_a_user_that_is_typed_has_history_and_both_lists(page):
    assert "HetComp · 3 users × 4 items · 2 dimensions" in one(page, "#about").text
    ask(page, "ann")
    assert texts(page, ".card h3") == ["History\n1 items", "Student\nscore", "Ensemble\nits teachers together"]
    assert texts(page, ".history .name") == ["Why"]
    assert texts(page, ".student .name") == ["w", "<b>Zed</b>", "Ex"]
    assert texts(page, ".student .score") == ["3.00", "2.00", "1.00"]
    assert texts(page, ".ensemble .name") == ["<b>Zed</b>", "Ex"]
    assert "ranked in" in one(page, "#time").text
    assert "ms" in one(page, "#time").text


def test_overlaps_are_marked_in_words_and_light_up_together(page):
    ask(page, "ann")
    assert one(page, "#both").text == "2 of 3 in both lists"
    assert texts(page, ".student .shared .name") == ["<b>Zed</b>", "Ex"]
    assert texts(page, ".student .twin") == ["ensemble: #1", "ensemble: #2"]
    assert texts(page, ".ensemble .twin") == ["student: #2", "student: #3"]
    one(page, ".student .shared button").send_keys("")  # the focus
    assert texts(page, ".lit .name") == ["<b>Zed</b>", "<b>Zed</b>"]


def test_an_unknown_user_is_told_so(page):
    ask(page, "<i>nobody</i>")
    assert one(page, "#unknown").text == (
        "User “<i>nobody</i>” is not known to this export: these are its most popular items."
    )
    assert texts(page, ".card h3") == ["Most popular\nby training interactions"]
    assert texts(page, ".student .name") == ["Why", "<b>Zed</b>", "w", "Ex"]
    ask(page, "bob")
    assert not one(page, "#unknown").is_displayed()


def test_the_keyboard_alone_is_enough(page):
    body = one(page, "body")
    page.execute_script("document.activeElement.blur()")
    body.send_keys("/")
    field = page.switch_to.active_element
    assert field.get_attribute("id") == "user"
    field.send_keys("bob", Keys.ENTER)
    wait(page, lambda: texts(page, ".student .name") == ["Why", "<b>Zed</b>"])
    one(page, ".student button").send_keys(Keys.ENTER)
    wait(page, lambda: one(page, "#similar").is_displayed())
    assert texts(page, "#similar-items .name") == ["<b>Zed</b>", "w", "Ex"]
    page.switch_to.active_element.send_keys(Keys.ESCAPE)
    wait(page, lambda: not one(page, "#similar").is_displayed())
    assert page.switch_to.active_element.text.startswith("1\nWhy")


def test_known_users_are_offered(page):
    assert texts(page, "#tries button") == ["7", "ann", "bob"]
    one(page, "#tries button:nth-of-type(2)").click()
    wait(page, lambda: one(page, "#who").text == "User ann")
    assert one(page, "#user").get_attribute("value") == "ann"
    assert page.current_url.endswith("?user=ann&k=10")
    page.refresh()
    wait(page, lambda: one(page, "#who").text == "User ann")


def test_how_many_items_can_be_chosen(page):
    ask(page, "7")
    Select(one(page, "#k")).select_by_visible_text("20")
    wait(page, lambda: page.current_url.endswith("?user=7&k=20"))


def test_a_refused_export_is_shown(browser, served, tmp_path):
    folder = small_export(tmp_path / "export")
    address = served(folder)
    (folder / "manifest.json").unlink()
    time.sleep(0.3)
    browser.get(address)
    wait(browser, lambda: one(browser, "#refused").is_displayed())
    assert "it has no manifest.json" in one(browser, "#refused").text


def test_without_an_ensemble_there_is_no_third_list(browser, served, tmp_path):
    browser.get(served(small_export(tmp_path / "export", ensemble=None, titles=None)) + "?user=ann&k=5")
    wait(browser, lambda: texts(browser, ".student .name") == ["w", "z", "x"])
    assert len(texts(browser, ".card")) == 2
    assert one(browser, "#both").text == ""


def test_the_token_is_asked_for(browser, served, tmp_path):
    browser.get(served(small_export(tmp_path / "export"), TOKEN) + "?user=ann&k=5")
    wait(browser, lambda: one(browser, "#locked").is_displayed())
    one(browser, "#token").send_keys("wrong", Keys.ENTER)
    wait(browser, lambda: one(browser, "#locked").is_displayed())
    one(browser, "#token").clear()
    one(browser, "#token").send_keys(TOKEN, Keys.ENTER)
    wait(browser, lambda: texts(browser, ".student .name") == ["w", "<b>Zed</b>", "Ex"])
    assert not one(browser, "#locked").is_displayed()


def test_the_api_can_be_tried_in_the_browser(browser, small):
    browser.get(small + "docs")
    wait(browser, lambda: len(texts(browser, ".opblock")) == 6)
    assert "/similar-items" in " ".join(texts(browser, ".opblock-summary-path"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_it_fits_and_can_be_read(browser, served, tmp_path, width, scheme):
    """Nothing is wider than the window, and every text stands out from its ground (WCAG AA, 4.5 to 1)."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    given = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", given)
    browser.get(served(random_export(tmp_path / "export")) + "?user=u3&k=20")
    wait(browser, lambda: len(texts(browser, ".student li")) == 20)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    grounds = browser.execute_script(CONTRASTS)
    assert len(grounds) > 20
    assert min(grounds) >= 4.5
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


CONTRASTS = """
const numbers = text => text.match(/[0-9.]+/g).map(Number);
const light = colour => colour.slice(0, 3).map(c => (c /= 255) <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
  .reduce((sum, c, place) => sum + c * [.2126, .7152, .0722][place], 0);
const ground = element => { for (; element; element = element.parentElement) {
  const colour = numbers(getComputedStyle(element).backgroundColor);
  if (colour.length === 3 || colour[3] > 0) return colour; } return [255, 255, 255]; };
return [...document.querySelectorAll("h1, h2, h3, span, label, button, a, kbd")]
  .filter(element => element.textContent.trim() && element.offsetParent)
  .map(element => [light(numbers(getComputedStyle(element).color)), light(ground(element))].sort((a, b) => b - a))
  .map(([a, b]) => (a + .05) / (b + .05));
"""
