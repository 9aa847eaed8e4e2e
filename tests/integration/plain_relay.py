"""Deliveries by hand to servers without TLS and login, where the test is about something else; and a look at a TPSP while it is left
alone."""
import json
import time
from itertools import count

from support import wait_for

MESSAGE = b"From: sender@example.com\nTo: user@example.com\nSubject: rates\n\nbody\n"


def entry(server, name="primary", **settings):
    port = server if isinstance(server, int) else server.port
    return {"name": name, "id": 12, "host": "127.0.0.1", "port": port, "security": "none", "auth": "none",
            "max-rate-per-hour": 0, **{key.replace("_", "-"): value for key, value in settings.items()}}


def send(site, recipient="user@example.com", *options, message=MESSAGE, **how):
    done = site.run("-f", "sender@example.com", *options, "--", recipient, message=message, **how)
    return done.returncode, done.stdout.decode()


OPEN_SECONDS = 5  # how long a breaker that opened is open at first


def close_breakers(site):
    for tpsp in json.loads(site.config.read_text())["tpsps"]:
        wait_for(lambda name=tpsp["name"]: site.run("rates", "reset", name, program=site.libexec / "sendpostctl").returncode == 0,
                 f"the reset of {tpsp['name']}")


def while_open(sites, fail, look, times=5):
    """What look() asserts holds while a TPSP is left alone, which it is for a few seconds once fail() has been called so many times.
    Where a busy machine let them pass, all is done again. Both are given a number that they have not had before."""
    numbers, end = count(), time.monotonic() + 240
    while True:
        for site in sites:
            close_breakers(site)
        for _ in range(times):
            began = time.monotonic()
            fail(next(numbers))
        try:
            return look(next(numbers))
        except AssertionError:
            now = time.monotonic()
            if now < began + OPEN_SECONDS - 1 or now > end:
                raise
