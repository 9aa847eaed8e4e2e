"""Fixtures of the package tests; servers and helpers are those of the integration tests."""
import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

from builds import CLEAN, SYSTEM, Builds, Started  # noqa: E402
from event_api import EventApi  # noqa: E402
from formats import Deb, Rpm  # noqa: E402
from support import TOP, remove, run, scratch  # noqa: E402
from tls_ca import CertificateAuthority  # noqa: E402
from tpsp import PASSWORD, USERNAME, Tpsp  # noqa: E402
from tree import Tree, base  # noqa: E402

KEY = "event-key-of-the-package-test"


@pytest.fixture(scope="session")
def builds():
    for program in ("dpkg-buildpackage", "dh", "rpmbuild"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed; run tools/deps package")
    kept = os.environ.get("SENDPOST_PACKAGES")  # a directory in which the packages stay for the next run
    directory = Path(kept) if kept else scratch("sppkg-")
    yield Builds(directory)
    if not kept:
        remove(directory)


@pytest.fixture(scope="session")
def demo(builds):
    """tools/demo, which builds for itself, beside the tests: they wait more than they work."""
    if SYSTEM:
        pytest.skip("the demo is run on this machine's own system")
    started = Started(builds.directory / "demo.log", "nice", TOP / "tools/demo", directory=TOP, env=CLEAN)
    yield started
    if started.process.poll() is None:
        started.process.terminate()
        started.process.wait()


@pytest.fixture(scope="session")
def base_tree(request, builds):
    if not SYSTEM:
        request.getfixturevalue("demo")
    if os.geteuid() != 0:
        pytest.skip("a system tree needs root")
    if shutil.which("mmdebstrap") is None:
        pytest.skip("mmdebstrap is not installed; run tools/deps package")
    depends = run("dpkg-deb", "-f", builds.deb, "Depends").stdout
    # libgmime: suggested only, and bounces are read in the trees
    return base(["curl", "jq", "libgmime-3.0-0", "openssl", "postfix", "rsyslog", "systemd", *sorted({re.split(r"[ |(]", name.strip())[0] for name in depends.split(",")})])


@pytest.fixture(scope="session")
def ca():
    directory = scratch("spca-")
    yield CertificateAuthority(directory)
    remove(directory)


@pytest.fixture(scope="module")
def tpsp(ca):
    if os.geteuid() != 0 or shutil.which("postfix") is None:
        pytest.skip("a private Postfix as TPSP needs root and Postfix")
    with Tpsp(ca) as server:
        yield server


@pytest.fixture(scope="module")
def api(ca):
    with EventApi(ca, key=KEY) as server:
        yield server
        assert not server.problems


@pytest.fixture(scope="module")
def tree(base_tree):
    with Tree(base_tree) as system:
        yield system


@pytest.fixture(scope="module", params=[Deb, Rpm], ids=lambda kind: kind.name)
def package(request, builds, base_tree, tpsp):
    """One format in a tree of its own; the tests of a module follow one installation from birth to death."""
    tpsp.forget()
    with Tree(base_tree) as system:
        yield request.param(builds, system)


def configure(tree, tpsp, api, ca, **settings):
    """As a postmaster would: secrets in files of their own, and a configuration that names them."""
    shutil.rmtree(tree.path("/etc/ssl/test-ca"), ignore_errors=True)
    shutil.copytree(ca.hashed, tree.path("/etc/ssl/test-ca"), symlinks=True)
    files = {"event-api-key": KEY, "primary.password": PASSWORD, "config.yaml": json.dumps({
        "account-id": 117, "subaccount-id": 4321, "endpoint": api.url, "rate-limit-wait": "0s",
        "api-key-file": "/etc/postfix-sendpost/event-api-key", "report": {"tls-ca-path": "/etc/ssl/test-ca"},
        "retry": {"schedule": ["1s"] * 200},
        "tpsps": [{"name": "primary", "id": 12, "host": "localhost", "port": tpsp.port, "username": USERNAME,
                   "password-file": "/etc/postfix-sendpost/primary.password", "max-rate-per-hour": 0,
                   "tls-ca-path": "/etc/ssl/test-ca"}], **settings})}
    for name, text in files.items():
        path = tree.path(f"/etc/postfix-sendpost/{name}")
        path.write_text(text + "\n")
        path.chmod(0o640)
        tree.run("chgrp", "sendpost", f"/etc/postfix-sendpost/{name}")
