"""What postfix-conf/bounce/README tells a postmaster to type works: a message goes out by the transport, the provider behind it knows
nobody of that name, its report comes back to this Postfix, and the events show both."""
import json
import os
import re
import subprocess

import pytest

import uuid_keys
from private_postfix import PrivatePostfix
from scripted_tpsp import ScriptedTpsp
from sendpost import USER, Sendpost, build_directory, replace_once
from support import TOP, wait_for

DOMAIN = "sp-bounce.example.com"
README = (TOP / "postfix-conf/bounce/README").read_text()


def typed(heading, text=README):
    """The commands of a paragraph that begins so, up to the next heading or the end: indented lines."""
    paragraph = text.split(heading)[1].split("\n---")[0]
    return re.findall(r"(?m)^    (\S.*)", re.sub(r" *\\\n\s*", " ", paragraph))


@pytest.fixture
def ours(postfix_runs):
    """A Postfix that sends by the transport and receives the bounces, and its installation."""
    with Sendpost() as one:
        main = (one.main_cf() + (TOP / "postfix-conf/bounce/main.cf").read_text()
                + f"relay_recipient_maps = regexp:{TOP}/postfix-conf/bounce/sendpost-bounce-recipients\n"
                f"transport_maps = inline:{{ {{{DOMAIN} = sendpost-bounce:}} }}\n")
        master = replace_once((TOP / "postfix-conf/bounce/master.cf.in").read_text(), "user=sendpost", f"user={USER}")
        master = replace_once(master, "@pkglibexecdir@/sendpost-bounce", f"{one.libexec / 'sendpost-bounce'} -c {one.config}")
        with PrivatePostfix("mta.example.com", main=main, master=one.master_cf() + master) as postfix:
            yield one, postfix


def test_the_whole_way(ours):
    installation, postfix = ours
    send, look = typed("The whole way:")
    with ScriptedTpsp(offers=(), rcpt="550 5.1.1 no such user") as receiver, PrivatePostfix("provider.test", main=(
            f"transport_maps = inline:{{ {{{DOMAIN} = smtp:[127.0.0.1]:{postfix.port}}}, "
            f"{{example.net = smtp:[127.0.0.1]:{receiver.port}}} }}\n")) as provider:
        installation.configure([{"name": "primary", "id": 12, "host": "127.0.0.1", "port": provider.port, "security": "none"}],
                               return_path={"rewrite": True, "verify": "static", "domains": ["example.com"]},
                               uuid_key_file=installation.secret_file("uuid-key", uuid_keys.new_key()))
        environment = {**os.environ, "MAIL_CONFIG": str(postfix.etc)}
        subprocess.run(["sh", "-ec", send], env=environment, check=True)
        look = replace_once(look, "sendpostctl", f"{build_directory() / 'sendpostctl'} -c {installation.config}")

        def events():
            done = subprocess.run(["sh", "-ec", f"{look} --json"], capture_output=True, check=True)
            return [event for event in json.loads(done.stdout) if event["event_type"] in ("delivered", "sent", "bounced")]

        wait_for(lambda: len(events()) == 2, lambda: f"two events:\n{installation.log()}\n{postfix.log()}\n{provider.log()}", timeout=120)
        accepted, bounced = events()
        assert (bounced["event_type"], bounced["smtp_enhanced_code"]) == ("bounced", "5.1.1")
        assert accepted["message_id"] == bounced["message_id"] and accepted["source"] == "pipe" and bounced["source"] == "bounce"
