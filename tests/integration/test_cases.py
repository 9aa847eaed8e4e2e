"""What must be read from the samples in tests/data: each folder has an expected.jsonl, one row a file.

log/*.log: the events of sendpost-agent. bounces/*.eml: the event of sendpost-bounce -n, or none (null).
"""
import json
import subprocess

import pytest

from agent_runner import Agent
from sendpost import build_directory
from support import TOP

DATA = TOP / "tests/data"


def rows(folder):
    return [json.loads(line) for line in (DATA / folder / "expected.jsonl").open()]


@pytest.mark.parametrize("row", rows("log"), ids=lambda row: row["file"])
def test_a_log_becomes_its_events(row):
    with Agent(log_path=DATA / "log" / row["file"], listen="none") as agent:
        assert agent.once("--from-start") == 0
        found = [event[:3] for event in agent.events()]
    assert sorted(found) == sorted((e["event_type"], e["message_id"], e["recipient"]) for e in row["events"])


@pytest.mark.parametrize("row", rows("bounces"), ids=lambda row: row["file"])
def test_a_bounce_becomes_its_event(row):
    with (DATA / "bounces" / row["file"]).open("rb") as message:
        done = subprocess.run([build_directory() / "sendpost-bounce", "-n", "--", "x@example.com"], stdin=message,
                              capture_output=True, check=True, timeout=240)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    expected = [] if row["event_type"] is None else [(row["event_type"], row["recipient"])]
    assert [(event["event_type"], event["recipient"]) for event in found] == expected
