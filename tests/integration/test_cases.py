"""What must be read from the samples in tests/data: each folder has an expected.jsonl, one row a file.

log/*.log: the events of sendpost-agent.
"""
import json

import pytest

from agent_runner import Agent
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
