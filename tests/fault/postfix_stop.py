#!/usr/bin/python3
"""postfix stop under load: a real Postfix hands over large messages, many at a time, and its master is sent SIGTERM again and again
at a random instant. At the end the queue is drained and everything accounted for: no message lost, none cut short, none bounced,
a second copy only where the log says that it was in doubt, one event each.

    tests/fault/postfix_stop.py [STOPS]        (1000 by default; SENDPOST_BUILD names the build)
"""
import itertools
import random
import re
import smtplib
import sys
import threading
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

from private_postfix import PrivatePostfix  # noqa: E402
from scripted_tpsp import ScriptedTpsp  # noqa: E402
from sendpost import Sendpost  # noqa: E402
from support import end_process, wait_for  # noqa: E402

LINES = 6000  # of 65 bytes: far beyond what a pipe holds
BACKLOG = 20
PARALLEL = 40


def message(number):
    line = f"{number:08d}" + "x" * 55
    return f"From: sender@example.org\r\nSubject: {number}\r\n\r\n" + f"{line}\r\n" * LINES + f"end of {number}\r\n"


class Storm:
    def __init__(self, front, site, server, stops):
        self.front, self.site, self.server, self.stops = front, site, server, stops
        self.random = random.Random()
        self.numbers, self.submitted, self.cut, self.copies = itertools.count(), set(), [], Counter()

    def submit(self):
        """Beside the deliveries, so that some are under way at any instant; ends with Postfix."""
        try:
            with smtplib.SMTP("127.0.0.1", self.front.port) as client:
                for _ in range(BACKLOG):
                    number = next(self.numbers)
                    client.sendmail("sender@example.org", [f"user{number}@example.com"], message(number))
                    self.submitted.add(number)
        except (OSError, smtplib.SMTPException):
            pass  # one whose answer was lost may be in the queue or not

    def account(self):
        """What the TPSP has accepted since the last time."""
        taken, self.server.messages[:] = list(self.server.messages), []
        for text in taken:
            number = int(re.search(rb"\r\nSubject: (\d+)\r\n", text[:4000]).group(1))
            self.copies[number] += 1
            if not text.endswith(message(number).split("\r\n\r\n", 1)[1].encode()):
                self.cut.append(number)

    def stop_once(self):
        self.front.start()
        begun = len(self.server.transactions)
        submitters = [threading.Thread(target=self.submit) for _ in range(2)]
        for submitter in submitters:
            submitter.start()
        some = self.random.randrange(1, BACKLOG)
        wait_for(lambda: len(self.server.transactions) >= begun + some, "deliveries", timeout=120, interval=0.001)
        time.sleep(self.random.uniform(0, 0.02))  # the instant: no wait for anything
        end_process(self.front.pid())
        self.front.stop()
        for submitter in submitters:
            submitter.join()
        self.account()

    def run(self):
        for stop in range(self.stops):
            self.stop_once()
            if stop % 50 == 49:
                print(f"{stop + 1} stops, {len(self.submitted)} messages, {len(self.cut)} cut", flush=True)
        self.front.start()

        def drained():
            self.front.flush()
            return not self.front.queue()

        wait_for(drained, "an empty queue", timeout=300, interval=0.5)
        self.site.wait_settled()
        self.account()
        return self.figures()

    def figures(self):
        log = self.site.log()
        doubts = len(re.findall(r"may have been accepted", log))
        events = Counter(event["recipient"] for event in self.site.events() if event["cs"] == 60)
        return {"stops": self.stops, "messages": len(self.submitted), "lost": len(self.submitted - set(self.copies)), "cut": len(self.cut),
                "bounced": len(self.front.lines("", "status=bounced")), "second copies": sum(self.copies.values()) - len(self.copies),
                "in doubt": doubts, "held back": log.count("may be cut short"),
                "without an event": len(self.copies) - len(events), "events twice": sum(events.values()) - len(events)}


def run(stops):
    with Sendpost() as site, ScriptedTpsp() as server:
        site.configure([{"name": "primary", "id": 12, "host": server.host, "port": server.port, "security": "none", "auth": "none",
                         "max-rate-per-hour": 0}], listen="none")
        main = site.main_cf("allow_min_user = yes\nmessage_size_limit = 10000000\nmailbox_size_limit = 0\n")
        with PrivatePostfix("storm.test", main=main, master=site.master_cf(PARALLEL)) as front:
            front.stop()
            return Storm(front, site, server, stops).run()


def is_right(figures):
    return all(figures[what] == 0 for what in ("lost", "cut", "bounced", "without an event", "events twice")) and \
        figures["second copies"] <= figures["in doubt"]


if __name__ == "__main__":
    result = run(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
    print(result)
    sys.exit(0 if is_right(result) else 1)
