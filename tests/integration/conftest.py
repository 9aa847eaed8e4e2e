"""Fixtures of the integration tests: real programs on loopback, each with a scratch directory of its own."""
import os
import shutil
import signal

import pytest

from desk import Desk
from event_api import EventApi
from private_postfix import PrivatePostfix
from sendpost import SECRET_KEY, Sendpost, build_directory
from support import remove, scratch
from tls_ca import CertificateAuthority
from tpsp import Tpsp
from valkey_server import ValkeyServer


def pytest_configure(config):
    config.addinivalue_line("markers", "smoke: the sample that also runs on a sanitizer build")
    if not (build_directory() / "sendpost-pipe").exists():
        raise pytest.UsageError(f"no programs in {build_directory()}: build first, or set SENDPOST_BUILD")
    os.umask(0o022)  # other users read what tests make for them
    # started by nohup(1) or in the background, we ignore what our programs would then ignore, too, and rightly
    for number, action in ((signal.SIGHUP, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler), (signal.SIGQUIT, signal.SIG_DFL)):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, action)


@pytest.fixture(scope="session")
def postfix_runs():
    if os.geteuid() != 0:
        pytest.skip("a private Postfix needs root")
    if shutil.which("postfix") is None:
        pytest.skip("Postfix is not installed; run tools/deps test")


@pytest.fixture(scope="session")
def ca():
    directory = scratch("spca-")
    yield CertificateAuthority(directory)
    remove(directory)


@pytest.fixture(scope="session")
def session_tpsp(postfix_runs, ca):
    with Tpsp(ca) as server:
        yield server


@pytest.fixture
def tpsp(session_tpsp):
    """A real Postfix as TPSP, with an empty mailbox."""
    session_tpsp.forget()
    return session_tpsp


@pytest.fixture(scope="session")
def session_front(postfix_runs):
    with Sendpost() as installation:
        with PrivatePostfix("front.test", main=installation.main_cf("allow_min_user = yes\n"), master=installation.master_cf()) as front:
            yield front, installation


@pytest.fixture
def front(session_front):
    """A real Postfix that sends everything through our transport; nothing is in its queue."""
    postfix, installation = session_front
    yield postfix
    postfix.delete_queue()
    installation.wait_settled()


@pytest.fixture
def sendpost(session_front, front):
    """The installation that front's transport runs: programs, state and log as new, no configuration yet."""
    session_front[1].renew()
    return session_front[1]


@pytest.fixture
def api(ca):
    """The event API over HTTPS; whatever breaks the contract on the way to it fails the test."""
    with EventApi(ca, key=SECRET_KEY) as server:
        yield server
        assert not server.problems


@pytest.fixture
def desk(ca):
    made = Desk(ca)
    yield made
    remove(made.top)


@pytest.fixture
def valkey():
    with ValkeyServer() as running:
        yield running


@pytest.fixture
def make_host(request, valkey, tpsp):
    """Hosts of the kind that the module has, with its TPSP."""
    made = []

    def make(**settings):
        made.append(request.module.Host(valkey, tpsp, **settings))
        made[-1].begin()
        return made[-1]

    yield make
    for host in made:
        host.end()


@pytest.fixture
def site():
    with Sendpost() as installation:
        yield installation
