"""Whoever makes one of the usual mistakes is told what is wrong, where, and what mends it, wherever he looks: in the log, by
sendpostctl check and status, in /health and on the status page. One installation, in which one mistake is made at a time."""
import os
import re
import shutil

import pytest

from mistake_site import MistakeSite
from mistakes import MISTAKES, SAYERS
from support import TOP, wait_for


@pytest.fixture(scope="module")
def site(ca):
    if os.geteuid() != 0 or shutil.which("postfix") is None:
        pytest.skip("a private Postfix needs root and Postfix")
    made = MistakeSite(ca)
    yield made
    made.close()


def readme_rows():
    """{mistake: what check says, its remedy, who else tells of it}, as README.md has them."""
    rows = re.findall(r"(?m)^\| (.+?) \| \"(.+?)\" \| \"(.+?)\" \| (.+?) \|$", (TOP / "README.md").read_text().split("and who else |")[1])
    return {name: row for name, *row in rows}


def test_the_readme_names_every_mistake_and_who_tells_of_it():
    assert {name: others for name, (*_, others) in readme_rows().items()} == {
        name: ", ".join(sayer for sayer in SAYERS if sayer != "check" and mistake.patterns(sayer) is not None) or "nobody can know"
        for name, mistake in MISTAKES.items()}


def expect(sayer, say, patterns):
    """All of them in one text, sooner or later: what the agent knows, it gathers by and by."""
    def said():
        text = say()
        return all(re.search(pattern, text, re.S) for pattern in patterns)
    wait_for(said, lambda: f"{sayer} to say {patterns}; it says\n{say()}", timeout=240, interval=0.1)


def test_without_a_mistake_nobody_complains(site):
    site.restore()
    site.start_agent()
    site.front.wait_status(site.send(), "sent")
    expect("check", site.check, [" 0 failures"])
    expect("health", site.health, ['"status":"ok"'])
    assert site.page() == ""
    assert "Held" not in site.status()


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_wherever_one_looks(site, name):
    mistake = MISTAKES[name]
    site.restore()
    site.forget_log()
    mistake.make(site)
    if mistake.agent or name != "no agent":
        site.start_agent()
    queue_id = site.send()
    if mistake.sends:
        site.front.wait_status(queue_id, "sent")
    for sayer in SAYERS:
        if mistake.patterns(sayer) is not None:
            expect(sayer, getattr(site, sayer), mistake.patterns(sayer))
    said, remedy, _ = readme_rows()[name]
    expect("check", site.check, [re.escape(said), re.escape(remedy)])
    if not mistake.sends:
        assert "sent" not in site.statuses(queue_id)
