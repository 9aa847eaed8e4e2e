"""The status page in a real browser: what is shown, hostile texts, accessibility, keyboard, a phone, and without JavaScript."""
import json
import os
from pathlib import Path

import pytest

from agent_runner import Agent
from page_store import add_event
from support import wait_for
from test_page import HOSTILE, link

webdriver = pytest.importorskip("selenium.webdriver", reason="run tools/deps test for a browser")
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

CACHE = Path(os.environ.get("SENDPOST_TEST_CACHE", "/var/cache/postfix-sendpost-test"))
AXE = CACHE / "node_modules/axe-core/axe.min.js"


def start_browser(**preferences):
    if not Path("/usr/bin/chromedriver").exists():
        pytest.skip("there is no chromedriver; run tools/deps test")
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1280,1000"):
        options.add_argument(argument)
    options.add_experimental_option("prefs", preferences)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)
    driver.set_script_timeout(240)
    driver.set_page_load_timeout(240)
    return driver


@pytest.fixture(scope="module")
def agent():
    with Agent(tpsps=[{"name": "primary", "id": 12, "host": "127.0.0.1", "max-rate-per-hour": 400},
                      {"name": "backup", "id": 13, "host": "127.0.0.1"}]) as running:
        running.log_path.write_text("")
        running.start()
        for number in range(30):
            add_event(running, ("delivered", "deferred", "bounced")[number % 3], f"user{number}@gmail.com", "gmail",
                      ("2.0.0 Ok", "4.2.2 Mailbox full", "5.1.1 User unknown")[number % 3], (250, 452, 550)[number % 3], ago_s=60)
        add_event(running, "dropped", "\"<b>x</b>\"@example.net", "default", HOSTILE, 554, ago_s=60)
        yield running


@pytest.fixture(scope="module")
def browser(agent):
    driver = start_browser()
    try:
        driver.get(link(agent))
        wait_for(lambda: driver.find_elements(By.CSS_SELECTOR, '#providers tr[data-provider="default"]'), "all that is in the store")
        yield driver
        assert driver.get_log("browser") == [], "nothing is complained about: no error, no breach of the policy"
    finally:
        driver.quit()


@pytest.fixture
def front(agent, browser):
    browser.set_window_size(1280, 1000)
    browser.get(f"http://127.0.0.1:{agent.port}/")
    wait_for(lambda: "Following" in browser.find_element(By.ID, "live-state").text, "the feed")
    return browser


def cells(driver, selector):
    return driver.execute_script("return Array.from(document.querySelectorAll(arguments[0]), cell => cell.textContent)", selector)


def test_numbers_and_feed_are_those_of_the_store_and_stay_fresh(agent, front):
    before = [int(number) for number in cells(front, '#providers tr[data-provider="gmail"] td')]
    assert before[0] >= 10 and before[1:] == [10, 0, 10, 0]
    add_event(agent, "delivered", "fresh@gmail.com", "gmail", "2.0.0 Ok: queued as 7F", 250)
    row = wait_for(lambda: cells(front, "#feed tbody tr:first-child td"), "the row of the feed")
    assert row[1:] == ["delivered", "fresh@gmail.com", "primary", "250 2.0.0 Ok: queued as 7F"]
    wait_for(lambda: int(cells(front, '#providers tr[data-provider="gmail"] td')[0]) == before[0] + 1, "the number, without a reload")


def test_hostile_texts_are_shown_and_do_nothing(agent, front):
    add_event(agent, "deferred", "<svg/onload=alert(3)>@example.net", "default", HOSTILE, 451)
    row = wait_for(lambda: cells(front, "#feed tbody tr:first-child td"), "the row of the feed")
    assert row[2] == "<svg/onload=alert(3)>@example.net" and "<script>alert(1)</script>" in row[4]
    wait_for(lambda: any("<script>alert(1)</script>" in cell for cell in cells(front, "#reasons td")), "the reason, as text")
    assert front.execute_script("return document.querySelectorAll('main script, main img, main [onload], main b').length") == 0


def test_nothing_is_asked_of_anybody_else(agent, front):
    names = front.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert len(names) >= 2 and all(name.startswith(f"http://127.0.0.1:{agent.port}/") for name in names), names


def test_a_search_is_done_by_keyboard_alone(front):
    def focused():
        return front.execute_script("return document.activeElement.id || document.activeElement.textContent")
    body = front.find_element(By.TAG_NAME, "body")
    body.send_keys(Keys.TAB)
    assert focused() == "Skip to what is wrong"
    front.switch_to.active_element.send_keys(Keys.TAB)
    assert focused() == "q"
    outline = front.execute_script("return getComputedStyle(document.activeElement).outlineWidth")
    assert outline == "3px", "where the focus is, is seen"
    front.switch_to.active_element.send_keys("user4@gmail.com" + Keys.ENTER)
    found = wait_for(lambda: front.find_elements(By.CSS_SELECTOR, "#found article"), "what was found")
    assert "user4@gmail.com" in found[0].text and "4.2.2 Mailbox full" in found[0].text


def test_what_somebody_is_at_is_left_alone(agent, front):
    button = front.find_element(By.CSS_SELECTOR, "#findings button")
    front.execute_script("arguments[0].focus()", button)
    before = int(cells(front, '#providers tr[data-provider="gmail"] td')[0])
    add_event(agent, "delivered", "again@gmail.com", "gmail")
    wait_for(lambda: int(cells(front, '#providers tr[data-provider="gmail"] td')[0]) > before, "a refresh")
    assert front.execute_script("return document.activeElement === arguments[0]", button)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_axe_finds_nothing(agent, front, scheme, width):
    if not AXE.exists():
        assert not os.environ.get("CI"), f"{AXE} is not there: tools/deps test brings it"
        pytest.skip("axe-core is not there: tools/deps test brings it, where npm reaches a registry")
    front.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
    front.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500})
    front.get(f"http://127.0.0.1:{agent.port}/?q=user4@gmail.com")
    # by the debugger: the page's own policy allows no script but the page's
    front.execute_cdp_cmd("Runtime.evaluate", {"expression": AXE.read_text()})
    found = front.execute_async_script("const done = arguments[0]; axe.run().then(result => done(JSON.stringify(result.violations)))")
    front.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert [(item["id"], [node["html"] for node in item["nodes"]]) for item in json.loads(found)] == []


def test_a_phone_shows_it_without_scrolling_aside(agent, front):
    front.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True})
    try:
        front.get(f"http://127.0.0.1:{agent.port}/?q=user4@gmail.com")
        assert front.execute_script("return document.scrollingElement.scrollWidth") <= 360
        assert front.execute_script("return document.querySelector('.hours').getBoundingClientRect().width") > 250
    finally:
        front.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_an_agent_that_is_gone_is_said(agent, front):
    front.execute_cdp_cmd("Network.enable", {})
    front.execute_cdp_cmd("Network.emulateNetworkConditions", {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0})
    try:
        wait_for(lambda: "does not answer" in front.find_element(By.ID, "state").text, "the word that it is gone")
    finally:
        front.execute_cdp_cmd("Network.emulateNetworkConditions", {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1})
    wait_for(lambda: "does not answer" not in front.find_element(By.ID, "state").text, "that it is back")
    front.get_log("browser")  # the browser's own complaints about the network


def test_without_javascript_and_without_a_login_the_numbers_are_there(agent):
    driver = start_browser(**{"profile.managed_default_content_settings.javascript": 2})
    try:
        def look():
            driver.get(f"http://127.0.0.1:{agent.port}/")
            return driver.find_element(By.TAG_NAME, "main").text

        wait_for(lambda: "gmail" in look(), "the events to be counted")
        text = look()
        assert "4.2.2 Mailbox full" in text and "sendpostctl ui" in text and "@" not in text
        assert driver.find_elements(By.CSS_SELECTOR, "svg.hours rect.delivered")
    finally:
        driver.quit()
