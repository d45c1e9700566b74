"""The page plays offline, in a real browser, and nothing in a recording breaks out of it (W07)."""

from __future__ import annotations

import hashlib
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

from appliance import player
from appliance.recording.asciicast import CastOptions, export
from appliance.recording.events import FileMoved, FileVerb
from appliance.recording.frames import End, Happened, Outcome, Output
from appliance.recording.html import page
from tests.appliance.recording.studio import facts
from tests.appliance.recording.test_asciicast_and_replay import timed

PLAYER = player.FOLDER
HOSTILE = [
    "</script><script>window.broken=1</script>",
    "<!--<script>",
    "]]>",
    "\u2028\u2029window.broken=1//",
    "\"';window.broken=1;//",
    "\\u003c/script>",
    "<img src=x onerror=window.broken=1>",
    "&lt;script&gt;&#60;",
    "${window.broken=1}",
    "\ud800",
]
DATA = re.compile(r'<script type="application/json" id="cast">(.*?)</script>', re.DOTALL)


def test_the_vendored_player_is_what_was_published():
    for line in (PLAYER / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split()
        assert hashlib.sha256((PLAYER / name).read_bytes()).hexdigest() == digest
    assert "Apache License" in (PLAYER / "LICENSE").read_text()
    assert "3.17.0" in (PLAYER / "README.md").read_text()


@pytest.mark.parametrize("text", HOSTILE)
def test_the_data_block_contains_no_markup_and_gives_the_text_back(text):
    made = "".join(page([text, text], title="x"))
    block = DATA.search(made)[1]
    assert not set("<>&") & set(block)
    assert block.isascii()
    assert json.loads(block) == text + text


@given(text=st.text(), title=st.text())
def test_any_text_stays_in_its_place(text, title):
    made = "".join(page([text], title=title))
    assert made.count("<script") == 3
    assert made.count("</script") == 3
    assert made.count("<h1>") == 1
    assert json.loads(DATA.search(made)[1]) == text
    head = made[: made.index("<style>")]
    assert head.count("<") == made[: made.index("<title>")].count("<") + 2


def test_the_page_loads_nothing_and_names_the_scripts_that_may_run():
    made = "".join(page([], title="x"))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', made)[1]
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy
    assert "'unsafe-eval'" not in policy
    assert len(re.findall("'sha256-", policy)) == 3
    outside = made.replace(player.read(player.SCRIPT), "")
    assert not re.search(r"(?:src|href)\s*=|@import|url\(", outside)


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    options.binary_location = "/usr/bin/chromium"
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService("/usr/bin/chromedriver")
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


@pytest.mark.functional
def test_chromium_plays_the_page_from_a_file_and_hostile_text_stays_text(browser, tmp_path):
    hostile = [text for text in HOSTILE if text.isprintable() or "\u2028" in text]
    frames = timed(
        (0.01, Output("".join(f"{text}\r\n" for text in hostile).encode())),
        *(
            (0.02, Happened(FileMoved(protocol="sftp", verb=FileVerb.READ, path=text.encode())))
            for text in hostile
        ),
        (0.2, Output(b"the end of it")),
        (0.3, End(outcome=Outcome.COMPLETE, reason=hostile[0])),
        header=facts(user=hostile[0], node=hostile[6], columns=100, rows=30),
    )
    file = tmp_path / "session.html"
    with file.open("w", encoding="utf-8") as out:
        out.writelines(page(export(frames, CastOptions()), title=hostile[0]))
    browser.get(file.as_uri())
    assert browser.title == hostile[0]
    wait = WebDriverWait(browser, 30)
    wait.until(lambda it: it.find_elements("css selector", ".ap-overlay-start, .ap-play-button"))
    browser.find_element("css selector", ".ap-overlay-start, .ap-play-button").click()
    wait.until(
        lambda it: "the end of it" in it.execute_script("return document.querySelector('#player').innerText")
    )
    text = browser.execute_script("return document.querySelector('#player').innerText")
    assert hostile[0] in text
    assert browser.execute_script("return window.broken") is None
    assert browser.execute_script("return document.querySelectorAll('img').length") == 0
    assert browser.execute_script("return document.scripts.length") == 3
    log = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert log == []
