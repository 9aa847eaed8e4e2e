"""Whatever is wrong on our side, Postfix keeps the message: status=deferred in its log, the message in its queue, and
nothing bounced. When the trouble is over, the same message leaves."""
import pytest

MESSAGE = b"From: sender@example.org\nTo: user@example.com\nSubject: kept\n\nbody\n"

BROKEN_CHILDREN = {
    "segfault": ("#!/bin/sh\nkill -SEGV $$\n", r"died with signal 11"),
    "missing-library": ("#!/bin/sh\necho 'sendpost-deliver: error while loading shared libraries: libfoo.so.1' >&2; exit 127\n",
                        r"libfoo\.so\.1"),
    "no-result": ("#!/bin/sh\nexit 0\n", r"no result"),
    "permanent-status": ("#!/bin/sh\necho 5.1.1 unknown user\nexit 67\n", r"status 67"),
    "garbage-result": ("#!/bin/sh\nhead -c 70000 /dev/urandom >&3\n", r"makes no sense|no result"),
    "text-result": ("#!/bin/sh\necho '0 2.0.0 ok' >&3\n", r"makes no sense|no result"),
    "no-program": ("this is no program\n", r"cannot start|no result"),
}


def deferred(front, queue_id, text=""):
    line = front.wait_status(queue_id, "deferred")
    assert front.in_queue(queue_id)
    assert not front.lines(queue_id, "status=(bounced|sent)")
    front.wait_log(rf"status=deferred \(.*{text}", queue_id)
    return line


@pytest.mark.smoke
@pytest.mark.parametrize("name", BROKEN_CHILDREN)
def test_a_broken_deliverer_keeps_the_message_in_the_queue(front, sendpost, name):
    program, words = BROKEN_CHILDREN[name]
    sendpost.replace("sendpost-deliver", program)
    sendpost.configure([])
    queue_id = front.sendmail(MESSAGE, "user@example.com")
    line = deferred(front, queue_id, words)
    assert "dsn=4.3.0" in line


def test_a_missing_deliverer_keeps_the_message_in_the_queue(front, sendpost):
    (sendpost.libexec / "sendpost-deliver").unlink(missing_ok=True)
    queue_id = front.sendmail(MESSAGE, "user@example.com")
    deferred(front, queue_id, "install the package anew")
