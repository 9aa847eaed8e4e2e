"""The part of tools/demo that comes after the build: private servers, one message, and what became of it."""
import json
import signal
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "integration"))

from event_api import EventApi  # noqa: E402
from private_postfix import PrivatePostfix  # noqa: E402
from sendpost import Sendpost  # noqa: E402
from support import remove, scratch, wait_for  # noqa: E402
from tls_ca import CertificateAuthority  # noqa: E402
from tpsp import Tpsp  # noqa: E402

MESSAGE = """\
From: Alice <alice@example.org>
To: Bob <bob@example.com>
Subject: Hello through postfix-sendpost
Date: Mon, 23 Nov 2026 12:00:00 +0000
Message-ID: <demo@example.org>

Hello Bob,
this message left Postfix by the transport "sendpost".
"""
CONFIGURATION = """\
account-id: 117
subaccount-id: 4321
state-dir: {state}
endpoint: {endpoint}
api-key-file: {api_key}
report:
  tls-ca-path: {ca}
tpsps:
  - name: demo-tpsp
    id: 12
    host: localhost
    port: {port}
    security: starttls
    username: {username}
    password-file: {password}
    tls-ca-path: {ca}
"""


def step(title):
    bold, plain = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")
    print(f"\n{bold}== {title}{plain}", flush=True)


def show(text):
    for line in text.rstrip("\n").split("\n"):
        print("    " + line)
    sys.stdout.flush()


def configure(sendpost, tpsp, api, ca, key):
    from tpsp import PASSWORD, USERNAME
    text = CONFIGURATION.format(state=sendpost.state, endpoint=api.url, api_key=sendpost.secret_file("event-api-key", key),
                                ca=ca.hashed, port=tpsp.port, username=USERNAME,
                                password=sendpost.secret_file("tpsp-password", PASSWORD))
    sendpost.config.write_text(text)
    sendpost.give(sendpost.config, 0o600)
    return text


def demonstrate(ca, sendpost, tpsp, api, front, key):
    print(f"Postfix         smtp 127.0.0.1:{front.port}, configuration in {front.etc}")
    print(f"TPSP            smtp localhost:{tpsp.port}, a second Postfix: STARTTLS, and no mail without a login")
    print(f"event API       {api.url}")

    step("The configuration of postfix-sendpost")
    show(configure(sendpost, tpsp, api, ca, key))
    step("What was added to Postfix: main.cf and master.cf")
    show(sendpost.main_cf())
    show(sendpost.master_cf())

    step("One message, handed to Postfix")
    print(f"$ sendmail -C {front.etc} -f alice@example.org bob@example.com < message")
    queue_id = front.sendmail(MESSAGE.encode(), "bob@example.com", sender="alice@example.org")
    front.wait_gone(queue_id)
    (received,) = tpsp.wait_messages()
    (event,) = api.wait_events(1)

    step("The message as the TPSP got it (its own trace headers first)")
    show(received.raw.decode())
    step("The event as the API got it, before Postfix was told")
    show(json.dumps(event, indent=2, ensure_ascii=False))
    step("The log: Postfix's line, and ours")
    show(front.wait_status(queue_id, "sent"))
    show(next(line for line in sendpost.log().splitlines() if queue_id in line))
    step("The queue")
    print(f"$ postqueue -c {front.etc} -p")
    show(subprocess.run(["postqueue", "-c", str(front.etc), "-p"], capture_output=True, text=True, check=True).stdout)
    assert event["message_id"] == received.uuid and not api.problems and not front.queue()


def main():
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def terminate(number, _):
        for each in signals:  # what follows is the clean-up
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    for number in signals:
        signal.signal(number, terminate)
    key = "the-key-of-the-demo"
    directory = scratch("spca-")
    try:
        step("Servers, on loopback, in temporary directories")
        ca = CertificateAuthority(directory, name="Demo CA")
        with Sendpost() as sendpost, Tpsp(ca) as tpsp, EventApi(ca, key=key) as api:
            with PrivatePostfix("demo.test", main=sendpost.main_cf(), master=sendpost.master_cf()) as front:
                demonstrate(ca, sendpost, tpsp, api, front, key)
                step("Cleaning up")
            wait_for(lambda: not sendpost.leftovers(), "the end of the last delivery")
    finally:
        remove(directory)
    print("the servers are stopped, their directories removed")


if __name__ == "__main__":
    main()
