"""The container as far as it can be tried without a container engine: a root as the Containerfile makes it, and its entry
point as a first process, with a real TPSP."""
import json
import re
import shlex
import shutil
import subprocess

import pytest

from conftest import KEY
from support import TOP, free_port, wait_for
from tpsp import PASSWORD, USERNAME
from tree import ENVIRONMENT, Tree

CONTAINER = TOP / "packaging/container"


def instructions():
    """[(NAME, what follows)] of the Containerfile."""
    text = re.sub(r"(?m)^#.*\n", "", (CONTAINER / "Containerfile").read_text()).replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]


class Container:
    """The tree that its instructions leave, and what runs in it."""

    def __init__(self, tree, deb):
        self.tree, self.output, self.process = tree, tree.path("/root/output"), None
        shutil.copy(deb, tree.path(f"/tmp/{deb.name}"))
        for name, rest in instructions():
            if name == "RUN" and "apt-get" in rest:  # what it installs is in the tree already, but for the package
                tree.run("dpkg", "-i", f"/tmp/{deb.name}")
            elif name == "RUN":
                tree.run("sh", "-c", rest)
            elif name == "COPY" and "packaging" in rest:
                *files, directory = rest.split()
                for file in files:
                    tree.run("install", "-m", "755", "/dev/null", directory + file.rsplit("/", 1)[1])
                    tree.path(directory + file.rsplit("/", 1)[1]).write_bytes((TOP / file).read_bytes())
        (self.entrypoint,) = json.loads(dict(instructions())["ENTRYPOINT"])
        self.health = shlex.join(json.loads(dict(instructions())["HEALTHCHECK"].split("CMD", 1)[1]))

    def start(self, **environment):
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                ["nsenter", "--target", self.tree.init, "--mount", "--pid", "--root", "--wd", "--", self.entrypoint],
                env={**ENVIRONMENT, **environment}, stdout=output, stderr=output)

    def said(self):
        return self.output.read_text(errors="replace")

    def is_healthy(self, what=None):
        command = self.health if what is None else self.health.replace("ready", what)
        return self.tree.call("sh", "-c", command).returncode == 0

    def pids(self, name):
        """Processes of that name, by their numbers in the tree."""
        found = self.tree.call("sh", "-c", f"grep -lx {name} /proc/[0-9]*/comm").stdout.decode().split()
        return [path.split("/")[2] for path in found]

    def kill(self, name, *pids):
        self.tree.run("sh", "-c", f"kill -{name} {' '.join(pids)}")

    def stop(self):
        """As an engine does; the status."""
        self.kill("TERM", *self.pids("entrypoint"))
        return self.process.wait(timeout=240)


@pytest.fixture(scope="module")
def container(builds, base_tree, tpsp, ca):
    with Tree(base_tree) as tree:
        box = Container(tree, builds.deb)
        shutil.copytree(ca.hashed, tree.path("/etc/ssl/test-ca"), symlinks=True)
        secrets = tree.path("/run/secrets")
        secrets.mkdir(parents=True)
        for name, text in {"event-api-key": KEY, "primary.password": PASSWORD}.items():  # as Kubernetes mounts them
            (secrets / name).write_text(text + "\n")
            (secrets / name).chmod(0o644)
        tree.path("/etc/postfix-sendpost/config.yaml").write_text(
            "account-id: 117\nsubaccount-id: 4321\nendpoint: none\nrate-limit-wait: 0s\n"
            f"listen: 127.0.0.2:{free_port()}\n"
            "tpsps:\n  - " + json.dumps({
                "name": "primary", "id": 12, "host": "localhost", "port": tpsp.port, "username": USERNAME,
                "password-file": "/run/postfix-sendpost/secrets/primary.password", "tls-ca-path": "/etc/ssl/test-ca",
                "max-rate-per-hour": 0}) + "\n")
        tree.path("/etc/postfix-sendpost/main.cf").write_text(
            "# no port of the machine that tests\ninet_interfaces = 127.0.0.1\nmaster_service_disable = smtp.inet\n")
        yield box
        if box.process is not None and box.process.poll() is None:
            box.process.kill()
            box.process.wait()


def test_it_starts_delivers_and_logs_to_standard_output(container, tpsp):
    assert not container.tree.exists("/etc/postfix-sendpost/uuid-key"), "a key in the image would be everybody's"
    container.start(POSTFIX_MYHOSTNAME="mx.container.test", POSTFIX_MYNETWORKS="127.0.0.0/8")
    wait_for(lambda: container.is_healthy(), lambda: f"health\n{container.said()[-3000:]}")
    assert container.is_healthy("live")
    container.tree.run("sendmail", "-i", "-f", "a@example.org", "--", "user@example.com", input=b"From: a@example.org\n\nHello\n")
    (message,) = tpsp.wait_messages(1)
    assert message.header("X-Sendpost-TPSP-ID") == ["12"]
    wait_for(lambda: "status=sent" in container.said() and "tpsp=primary" in container.said(), lambda: container.said()[-3000:])
    assert container.tree.run("postconf", "-h", "myhostname").strip() == "mx.container.test"
    assert container.tree.owner_and_mode("/run/postfix-sendpost/secrets/primary.password") == "root:sendpost 640"
    assert PASSWORD not in container.said() and KEY not in container.said()


def test_it_knows_the_queue_and_is_one_process_tree(container):
    config = container.tree.path("/etc/postfix-sendpost/config.yaml").read_text()
    port = re.search(r"listen: \S+:(\d+)", config)[1]

    def metrics():
        return container.tree.run("curl", "-s", f"http://127.0.0.2:{port}/metrics")
    wait_for(lambda: "sendpost_agent_queue_known 1" in metrics(), "Postfix's queue")


def test_it_ends_in_order_and_keeps_its_key(container):
    key = container.tree.path("/var/lib/postfix-sendpost/uuid-key").read_text()
    assert container.stop() == 0
    assert container.pids("sendpost-agent") + container.pids("master") == [], "nothing is left"
    container.tree.path("/etc/postfix-sendpost/uuid-key").unlink()  # another container of the same image and volume
    container.start()
    wait_for(container.is_healthy, lambda: f"health\n{container.said()[-3000:]}")
    assert container.tree.path("/etc/postfix-sendpost/uuid-key").read_text() == key


def test_it_ends_when_one_of_its_two_programs_does(container):
    (agent,) = container.pids("sendpost-agent")
    container.kill("KILL", agent)
    assert container.process.wait(timeout=240) == 1
    assert "sendpost-agent has ended" in container.said()
    assert not container.is_healthy("live")


def test_without_a_configuration_it_says_so(container):
    container.tree.path("/etc/postfix-sendpost/config.yaml").unlink()
    container.start()
    assert container.process.wait(timeout=240) == 78
    assert "mount one" in container.said()
