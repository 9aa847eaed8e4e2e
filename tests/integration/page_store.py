"""Events as deliverers, agent and bounces put them into the store, for what shows them."""
import itertools
import sqlite3
import time
import uuid

CS = {"sent": 59, "delivered": 60, "deferred": 61, "dropped": 62, "bounced": 63, "soft_bounced": 64}
SOURCES = {"pipe": 0, "agent": 1, "bounce": 2}
numbers = itertools.count(1)


def add_event(agent, what, recipient, provider="", text="250 2.0.0 Ok", code=0, tpsp="primary", ago_s=0, source="pipe"):
    """Returns its message UUID."""
    message = str(uuid.uuid4())
    number = next(numbers)
    now_ms = int(time.time() * 1000)
    identity = ((int(message[:8], 16) + int(message[-8:], 16)) & 0x7fffffff) << 32 | number  # event/event_row.h
    with sqlite3.connect(agent.state / "state.db", timeout=240) as store:
        store.execute(
            "INSERT INTO events (identity, state, event_id, message_id, cs, source, timestamp_ms, recipient, sender, queue_id,"
            " smtp_code, smtp_description, tpsp, tpsp_id, provider, attempt) VALUES (?, 3, ?, ?, ?, ?, ?, ?, 'from@example.org', ?,"
            " ?, ?, ?, 12, ?, 1)",
            (identity, str(uuid.uuid4()), message, CS[what], SOURCES[source], now_ms - 1000 * ago_s, recipient, f"4Q{number:06X}",
             code, text, tpsp, provider))
    return message
