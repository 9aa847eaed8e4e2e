"""The status page tells what the mail in Postfix's queue waits for, as `sendpostctl status` does. A real Postfix, TPSP and agent."""
import html
import os
import re
import subprocess

import pytest

from sendpost import build_directory
from support import end_process, free_port, listens, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root and postdrop are told of the queue")
MESSAGE = b"From: news@example.com\nTo: user@example.com\nSubject: waits\n\nhello\n"


def test_the_page_says_what_the_mail_in_the_queue_waits_for(front, sendpost, tpsp, ca):
    port = free_port()
    sendpost.configure([sendpost.tpsp(tpsp, ca, max_rate_per_hour=1)], listen=f"127.0.0.1:{port}", log_path=str(front.log_path),
                       rate_limit_wait="1s")
    front.wait_gone(front.sendmail(MESSAGE, "first@example.com"))
    waiting = [front.sendmail(MESSAGE, f"user{number}@example.com") for number in range(2)]
    wait_for(lambda: len([entry for entry in front.queue() if entry["queue_name"] == "deferred"]) == len(waiting), "the end of the rate")
    # without new privileges, as the unit has it: postqueue, set-group-id, would not look at a configuration elsewhere
    agent = subprocess.Popen(["setpriv", "--no-new-privs", build_directory() / "sendpost-agent", "-c", sendpost.config],
                             env={**os.environ, "MAIL_CONFIG": str(front.etc), "SENDPOST_LOG_FILE": str(sendpost.log_path)})
    try:
        wait_for(lambda: listens(port), "the agent")

        def page():
            done = subprocess.run(["curl", "-s", f"http://127.0.0.1:{port}/"], capture_output=True, text=True, check=False)
            return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", done.stdout)).split())
        # Postfix comes for them every other second: not while it does
        wait_for(lambda: (lambda read: "0 active, 2 deferred, 0 hold" in read and "What it waits for 2 wait for a rate" in read)(page()),
                 lambda: f"what it waits for: {page()}")
    finally:
        end_process(agent.pid)
        agent.wait()
