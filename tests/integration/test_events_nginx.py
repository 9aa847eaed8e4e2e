"""Events to a real HTTPS server."""
import shutil

import pytest

from nginx import Nginx
from reporting import KEY, Reporting
from support import wait_for


@pytest.fixture(autouse=True)
def nginx_runs():
    if not shutil.which("nginx") and not shutil.which("/usr/sbin/nginx"):
        pytest.skip("nginx is not installed; run tools/deps test")


def asked(server, count):
    return wait_for(lambda: len(server.asked()) >= count and server.asked(), f"{count} lines in nginx's log")


@pytest.mark.smoke
def test_batches_go_over_one_verified_connection(ca):
    with Nginx(ca) as server, Reporting(server.url, ca, batch_size=50) as account:
        account.add(200)
        done = account.flush()
        assert (done.returncode, done.stdout) == (0, "200 reported, 0 rejected, 0 pending\n")
        lines = asked(server, 4)
        assert [line["on_connection"] for line in lines] == [1, 2, 3, 4]
        assert {(line["status"], line["protocol"], line["key"], line["expect"], line["type"]) for line in lines} == {
            (202, "HTTP/1.1", KEY, "", "application/json")}
        assert {line["tls"] for line in lines} <= {"TLSv1.2", "TLSv1.3"}


def test_a_body_too_large_for_the_server_goes_in_single_events(ca):
    with Nginx(ca, location="client_max_body_size 2k; return 202;") as server, Reporting(server.url, ca) as account:
        account.add(20)
        assert account.flush().returncode == 0
        lines = asked(server, 21)
        assert [line["status"] for line in lines] == [413] + [202] * 20
        assert account.states() == {"reported": 20}


def test_a_server_that_limits_requests_is_obeyed(ca):
    with Nginx(ca, location="add_header Retry-After 600 always; return 429;") as server, Reporting(server.url, ca) as account:
        assert {result["result"] for result in account.one(1, count=10)} == {"kept"}
        assert len(asked(server, 1)) == 1
        assert account.states() == {"pending": 10}


def test_a_backend_that_is_down_behind_the_server_loses_nothing(ca):
    with Nginx(ca, location="proxy_pass http://127.0.0.1:9;") as server, Reporting(server.url, ca) as account:
        account.add(3)
        assert account.one(10)["result"] == "kept"
        assert account.pending()["result"] == "kept"
        assert account.states() == {"pending": 4}
        assert "HTTP 502" in account.log()


def test_a_connection_that_the_server_closed_meanwhile_is_renewed(ca):
    with Nginx(ca, server="keepalive_requests 3;") as server, Reporting(server.url, ca, batch_size=1) as account:
        account.add(20)
        assert account.flush().returncode == 0
        assert len(asked(server, 20)) == 20
        assert account.states() == {"reported": 20}


def test_tls_1_2_alone_is_fine(ca):
    with Nginx(ca, server="ssl_protocols TLSv1.2;") as server, Reporting(server.url, ca) as account:
        assert account.one()["result"] == "done"
        assert asked(server, 1)[0]["tls"] == "TLSv1.2"


def test_older_tls_is_refused(ca):
    with Nginx(ca, server="ssl_protocols TLSv1 TLSv1.1; ssl_ciphers ALL:@SECLEVEL=0;") as server:
        with Reporting(server.url, ca) as account:
            assert account.one()["result"] == "kept"
            assert account.states() == {"pending": 1}
