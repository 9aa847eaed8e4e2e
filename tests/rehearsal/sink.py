#!/usr/bin/env python3
"""A server that takes mail, keeps none, and refuses as a large provider would (providers.py):

    tests/rehearsal/sink.py ses --rate 5/s --port 2525
    tests/rehearsal/sink.py --list

Point a TPSP's host and port at it (security: none, auth: none) and see what becomes of a run of mail. Each refusal is printed; how
many were taken and refused, at the end.
"""
import argparse
import re
import sys
import threading
import time
from collections import Counter, defaultdict, deque
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "integration"))
from scripted_tpsp import DEFAULTS, Ended, ScriptedTpsp  # noqa: E402

from providers import HANG_UP, PROVIDERS  # noqa: E402


class Sink(ScriptedTpsp):
    """provider: one of providers.py. clock: seconds, as time.monotonic()."""

    def __init__(self, provider, clock=time.monotonic, say=lambda text: None, **options):
        super().__init__(auth="", connect=self.greet, mail=self.mail, rcpt=self.rcpt, dot=self.dot, **options)
        self.provider, self.clock, self.say = provider, clock, say
        self.lock = threading.Lock()
        self.taken = defaultdict(deque)  # times, by rule and recipient
        self.blocked = {}  # until when, by rule
        self.refused = Counter()  # by reply
        self.accepted = 0

    def open_connections(self):
        return sum(not connection.ended.is_set() for connection in self.connections)

    def refuse(self, connection, reply):
        with self.lock:
            self.refused[reply] += 1
        self.say(reply)
        if reply == HANG_UP:
            raise Ended
        connection.reply(reply)
        if reply.startswith("421"):
            raise Ended

    def crowded(self, connection, stage):
        return self.provider.connections_stage == stage and 0 < self.provider.connections < self.open_connections() and \
            self.refuse(connection, self.provider.connections_reply) is None

    def over(self, connection, stage):
        """Whether a rate refuses at this stage; it has been said then."""
        now = self.clock()
        for number, rate in enumerate(self.provider.rates):
            if rate.stage != stage:
                continue
            with self.lock:
                times = self.taken[number, connection.recipient if rate.by == "recipient" else None]
                while times and times[0] <= now - rate.window:
                    times.popleft()
                full = len(times) >= rate.limit or now < self.blocked.get(number, now)
                if full and rate.blocks:
                    self.blocked[number] = max(self.blocked.get(number, 0), now + rate.blocks)
            if full:
                self.refuse(connection, rate.reply)
                return True
        return False

    def greet(self, connection):
        if not self.crowded(connection, "connect"):
            connection.reply(DEFAULTS["connect"])

    def mail(self, connection):
        if not self.crowded(connection, "mail") and not self.over(connection, "mail"):
            connection.reply(DEFAULTS["mail"])

    def rcpt(self, connection):
        if not self.over(connection, "rcpt"):
            connection.reply(DEFAULTS["rcpt"])

    def dot(self, connection):
        if self.over(connection, "dot"):
            return
        now = self.clock()
        with self.lock:
            self.accepted += 1
            for number, rate in enumerate(self.provider.rates):
                self.taken[number, connection.recipient if rate.by == "recipient" else None].append(now)
        connection.reply(DEFAULTS["dot"])
        connection.taken = getattr(connection, "taken", 0) + 1
        if 0 < self.provider.session <= connection.taken:
            self.refuse(connection, self.provider.session_reply)


def show_list():
    for name, provider in PROVIDERS.items():
        print(name)
        for rate in provider.rates:
            figure = "" if rate.published else " (the figure is ours)"
            print(f"  {rate.limit} in {rate.window} s{' a recipient' if rate.by == 'recipient' else ''}{figure}: {rate.reply[:90]}")
        if provider.connections:
            print(f"  {provider.connections} connections at a time: {provider.connections_reply[:90]}")
        if provider.session:
            print(f"  {provider.session} messages a connection: {provider.session_reply[:90]}")
        print("  " + " ".join(provider.sources))


def main():
    parser = argparse.ArgumentParser(description="Take mail as a large provider would, and keep none of it.")
    parser.add_argument("provider", nargs="?", choices=sorted(PROVIDERS))
    parser.add_argument("--list", action="store_true", help="the providers, their rules and where these are from")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=2525)
    parser.add_argument("--rate", metavar="N/s|m|h|d", help="another first limit")
    parser.add_argument("--connections", type=int, metavar="N")
    parser.add_argument("--session", type=int, metavar="N", help="messages a connection")
    options = parser.parse_args()
    if options.list or options.provider is None:
        show_list()
        return
    rate = None
    if options.rate is not None:
        match = re.fullmatch(r"(\d+)/([smhd])", options.rate) or parser.error("--rate is written 5/s, 100/m, 1000/h or 20000/d")
        rate = int(match[1]), {"s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]
    provider = PROVIDERS[options.provider].with_limits(rate, options.connections, options.session)
    with Sink(provider, say=lambda text: print(time.strftime("%H:%M:%S"), text, flush=True), host=options.host, port=options.port) as sink:
        print(f"{options.provider} on {options.host}:{sink.port}; Ctrl-C ends it", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print(f"\n{sink.accepted} taken")
            for reply, count in sink.refused.most_common():
                print(f"{count} times: {reply}")


if __name__ == "__main__":
    main()
