"""The mistakes that people make, and what each program has to say of them: what is wrong, where, and what mends it.

test_mistakes.py makes each of them in an installation that is well; README's table of mistakes is held against this one.
"""
import http.server
import os
import socket
import subprocess
import threading
from dataclasses import dataclass, field
from typing import Callable

from support import free_port, wait_for

SAYERS = ("log", "check", "status", "health", "page")


@dataclass
class Mistake:
    """what, where and mends are patterns that every sayer's text has; but: those of one sayer that differ, or None where it cannot
    know. sends: the message leaves all the same. agent: it runs."""
    make: Callable
    what: str
    where: str
    mends: str
    but: dict = field(default_factory=dict)
    sends: bool = False
    agent: bool = True

    def patterns(self, sayer):
        """None: it has nothing to say."""
        own = self.but.get(sayer, ())
        return None if own is None else (*own, *(self.what, self.where, self.mends)[len(own):])


NOT_THERE = {"health": None, "page": None, "status": ("does not answer at 127.0.0.1:", "", "systemctl start sendpost-agent")}


def tpsp(**settings):
    return lambda site: site.set_tpsp(**settings)


def master(old, new):
    return lambda site: site.change_postfix(master=(old, new))


def main(line):
    return lambda site: site.change_postfix(main=line + "\n")


def wrong_password(site):
    site.sendpost.secret_file("primary.password", "hunter3")


def wrong_api_key(site):
    site.sendpost.secret_file("event-api-key", "another-key")


def dead_resolver(site):
    site.set_tpsp(host="smtp.example")
    site.configure(dns={"servers": [f"127.0.0.1:{free_port()}"], "timeout": "1s"})


def no_such_host(site):
    site.set_tpsp(host="smpt.example")
    site.configure(dns={"servers": [site.names.address], "timeout": "1s"})


def wrong_clock(site):
    """As seen by an API whose clock is right."""
    site.api.headers["Date"] = "Thu, 01 Jan 2026 00:00:00 GMT"


def expired_certificate(site):
    site.serve_with(site.ca.issue("expired.test", expired=True))


def misspelt_key(site):
    text = site.sendpost.config.read_text()
    site.sendpost.config.write_text(text.replace('"max-rate-per-hour"', '"max-rate-per-hoer"'))


def unreadable(site):
    os.chown(site.sendpost.config, 0, 0)


def state_of_root(site):
    os.chown(site.sendpost.state, 0, 0)


def secret_open_to_others(site):
    os.chmod(site.sendpost.top / "primary.password", 0o644)


def full_disk(site):
    state = site.sendpost.state
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size=1m,uid={site.sendpost.uid},gid={site.sendpost.gid},mode=750", "tmpfs", str(state)],
                   check=True)
    site.undo.append(lambda: subprocess.run(["umount", "-l", str(state)], check=True))
    with (state / "filler").open("wb", buffering=0) as out:
        site.sendpost.give(state / "filler", 0o600)
        try:
            while True:
                out.write(b"x" * 4096)
        except OSError:
            pass


def damaged_store(site):
    path = site.sendpost.state / "state.db"
    path.write_bytes(b"this is no database" * 1000)
    site.sendpost.give(path, 0o600)


def port_taken(site):
    """By somebody else's web server."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", site.port), http.server.BaseHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    site.undo.append(server.server_close)
    site.undo.append(server.shutdown)


def too_many_connections(site):
    """The TPSP lets us have two at a time, and they are in use."""
    def greeted():
        stream = socket.create_connection(("127.0.0.1", site.tpsp.port))
        site.undo.append(stream.close)
        return stream.recv(100).startswith(b"220")  # not while an idle deliverer of before has one of the two
    for _ in range(2):
        wait_for(greeted, "a connection that is let in")


def no_bounce_transport(site):
    site.configure(**{"return-path": {"verify": "static", "domains": ["example.org"]}})
    site.change_postfix(main="relay_domains = sp-bounce.example.org\n")


MISTAKES = {
    "wrong password": Mistake(
        wrong_password, "Auth rejected by localhost.*535 5.7.8", r"primary\.password \(password-file of primary in ", "sendpostctl setup --name primary",
        but={"check": ("Auth rejected.*535 5.7.8", "tpsp: primary")}),
    "wrong port": Mistake(
        lambda site: site.set_tpsp(port=free_port()), "Connection refused by localhost", r"config.yaml \(host, port of primary\)",
        "sendpostctl setup --name primary, and correct host and port", but={"check": ("Connection refused by localhost", "tpsp: primary")}),
    "TLS on a port for STARTTLS": Mistake(
        tpsp(security="tls"), "the server does not speak TLS here", r"\(port, security, tls-ca-path of primary\)",
        "sendpostctl setup --name primary --security starttls", but={"check": ("the server does not speak TLS here", "tpsp: primary")}),
    "no TLS on a port for TLS": Mistake(
        lambda site: site.set_tpsp(port=site.implicit.port, security="none", auth="none"), "Timeout at greeting with localhost",
        r"\(host, port, security of primary\)", "sendpostctl setup --name primary --security tls", but={"check": ("Timeout at greeting", "tpsp: primary")}),
    "a host that does not exist": Mistake(
        no_such_host, "smpt.example: NXDOMAIN", r"\(host of primary\)", "sendpostctl setup --name primary, and correct host",
        but={"check": ("smpt.example does not exist", "tpsp primary")}),
    "a resolver that does not answer": Mistake(
        dead_resolver, "cannot resolve smtp.example: timeout", r"\(host of primary\)", r"/etc/resolv.conf, or name working servers as dns:",
        but={"check": ("smtp.example cannot be looked up: timeout", "tpsp primary")}),
    "an expired certificate": Mistake(
        expired_certificate, "certificate has expired", r"\(security, tls-ca-path of primary\)", "sendpostctl test primary --no-send -v",
        but={"check": ("certificate has expired", "tpsp: primary")}),
    "an unknown CA": Mistake(
        lambda site: site.set_tpsp(**{"tls-ca-path": str(site.other_ca.hashed)}), "the certificate was not accepted: self-signed certificate",
        r"\(security, tls-ca-path of primary\)", "sendpostctl test primary --no-send -v",
        but={"check": ("the certificate was not accepted", "tpsp: primary")}),
    "a wrong API key": Mistake(
        wrong_api_key, "HTTP 401", r"https://localhost:\d+/", r"put the right key into the file of api-key-file in /\S+config.yaml, then: sendpostctl events flush",
        but={"log": ("HTTP 401", r"https://localhost:\d+/", "the key is refused, correct api-key-file"),
             "check": ("the key of the account is refused: HTTP 401", "events: ", "put it into the file of api-key-file; then: sendpostctl events flush")},
        sends=True),
    "an event API that is not there": Mistake(
        lambda site: site.configure(endpoint=f"https://localhost:{free_port()}/events"), "Connection refused at localhost", r"https://localhost:\d+/events",
        "sendpostctl check", but={"log": ("Connection refused", r"event API https://localhost:\d+/events", "events are kept, next try in"),
                                  "check": ("cannot be reached: ", r"https://localhost:\d+/events", "curl -v https://localhost")}, sends=True),
    "a wrong clock": Mistake(
        wrong_clock, r"\d+ (seconds|s) ahead of the event API's", "clock", "timedatectl set-ntp true", sends=True),
    "a log that Postfix does not write": Mistake(
        lambda site: site.configure(log_path=str(site.sendpost.config)), r"Postfix logs to /\S+/maillog", r"and not to /\S+config.yaml", "log-path",
        sends=True),
    "no transport in master.cf": Mistake(
        master("sendpost  unix", "sndpost   unix"), "Postfix's transport sendpost is not there, its mail stays in the queue", "private/sendpost|transport sendpost",
        "sendpostctl check", but={"check": ("master.cf has no transport sendpost: this mail stays in the queue", "default_transport leads to sendpost:default",
                                            "sendpostctl postfix install --name sendpost, or correct default_transport")}),
    "a transport that does not exist": Mistake(
        main("default_transport = sendpst:default"), "Postfix's transport sendpst is not there, its mail stays in the queue", "sendpst",
        "sendpostctl check", but={"check": ("master.cf has no transport sendpst", "default_transport leads to sendpst:default", "or correct default_transport")}),
    "a wrong user in master.cf": Mistake(
        master("user=nobody", "user=sendpost-nobody"), "unknown username: sendpost-nobody", "Postfix's transport sendpost", "sendpostctl check",
        but={"check": ("there is no user sendpost-nobody", "transport sendpost", "useradd --system --home-dir / --shell /usr/sbin/nologin sendpost-nobody")}),
    "wrong flags in master.cf": Mistake(
        master("flags=q", "flags=DRhu"), "flags=DRhu changes mail or addresses", "transport sendpost", "flags=q, and no other, in master.cf; then: postfix reload",
        sends=True),
    "a pool that does not exist": Mistake(
        main("default_transport = sendpost:bulk"), r'no pool is named \\?"bulk', r"config.yaml", "sendpostctl check",
        but={"check": ("there is no pool bulk", "default_transport = sendpost:bulk", "name a pool of the configuration behind the colon"),
             "log": ('no pool is named "bulk"', "config.yaml", "or correct the nexthop")}),
    "a state directory of root's": Mistake(
        state_of_root, "cannot open .*/state/state.db.lock as user id 65534: Permission denied", "/state", r"chown -R 65534: /\S+/state",
        but={**NOT_THERE, "check": (r"/state belongs to root, but deliveries run as nobody", "state", "chown -R nobody: /"),
             "status": ("belongs to root, so mail waits", "/state", r"chown -R sendpost: /\S+/state")}, agent=False),
    "a configuration of root's": Mistake(
        unreadable, "cannot be read by uid 65534", "config.yaml", "chgrp it and its directory to the group of that user and chmod g\\+r",
        but={**NOT_THERE, "status": ("cannot be read by user id 65534, so mail waits", "config.yaml", "chgrp it and its directory")}, agent=False),
    "a misspelt key": Mistake(
        misspelt_key, r"tpsps\[0\]\.max-rate-per-hoer: unknown key", r"config.yaml:\d+", 'did you mean "max-rate-per-hour"',
        but={"health": None, "page": None}, agent=False),
    "a secret that others can read": Mistake(
        secret_open_to_others, "is open to others", r"config.yaml:\d+: tpsps\[0\].password-file", r"chmod o= /\S+/primary.password",
        but={"health": None, "page": None}, agent=False),
    "a full disk": Mistake(
        full_disk, "disk is full", "/state", "free some space", but={
            "check": ("0 MB free for the state directory", "state", "make room"), "health": None, "page": None}, agent=False),
    "a damaged store": Mistake(
        damaged_store, "corrupt", "state.db", "sendpostctl check", but={
            "check": ("the store was corrupt", "aside in /\\S+/state, the latest state.db", "check the disk")}, sends=True),
    "no agent": Mistake(
        lambda site: None, "does not answer at 127.0.0.1:", "agent|Agent", "systemctl start sendpost-agent",
        but={"log": None, "health": None, "page": None}, sends=True, agent=False),
    "a port that is taken": Mistake(
        port_taken, r"cannot listen on 127.0.0.1:\d+: Address already in use", "listen", "sendpostctl check says who has it", but={
            "check": (r"127.0.0.1:\d+ is taken by python3 \(process \d+\)", "agent", "name a free port as listen, or end python3"),
            "status": (r"does not answer at 127.0.0.1:\d+: what answers there is not the agent", "Agent", "systemctl"),
            "health": None, "page": None}, sends=True),
    "nobody who takes bounces": Mistake(
        no_bounce_transport, "mail for sp-bounce.example.org is taken", "relay_domains", "sendpostctl postfix install --bounces",
        sends=True),
    "more connections than the provider allows": Mistake(
        too_many_connections, "421 4.7.0 .*too many connections", "primary", "max-connections"),
}
