"""Events on their way to the API: whose address is asked, which sessions are resumed, what the environment may not change."""
import ssl

import pytest

from dns_servers import Unbound
from event_api import EventApi
from reporting import KEY, Reporting
from scripted_tpsp import ScriptedTpsp, hang_up, stall
from support import free_port, has_ipv6, remove, scratch


@pytest.fixture(scope="module")
def resolver():
    with Unbound(["two.example. AAAA ::1", "two.example. A 127.0.0.1", "one.example. A 127.0.0.1"]) as server:
        yield {"servers": [server.address], "timeout": "5s"}


@pytest.fixture(scope="module")
def certificate(ca):
    return ca.issue("two.example", alternatives=())


def url(api, host="two.example"):
    return api.url.replace("localhost", host)


def test_names_are_asked_of_the_configured_resolver_alone(ca, certificate, resolver):
    with EventApi(key=KEY, certificate=certificate) as api, Reporting(url(api), ca, dns=resolver) as account:
        assert account.one()["result"] == "done"
        account.endpoint = url(api, "three.example")
        account.write()
        result = account.one(2)
        assert result["result"] == "kept" and "cannot resolve three.example: " in result["last_error"]


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here, and so no host of two addresses")
@pytest.mark.parametrize("action", [hang_up, stall], ids=["hang up", "stall"])
def test_an_address_that_does_not_do_leaves_time_for_the_next(ca, certificate, resolver, action):
    port = free_port()
    with ScriptedTpsp(host="::1", port=port, connect=action), EventApi(key=KEY, certificate=certificate, port=port) as api:
        with Reporting(url(api), ca, dns=resolver, timeout="4s") as account:
            assert account.one()["result"] == "done"
            assert len(api.events) == 1


def test_a_host_of_one_silent_address_is_said_to_be_silent(ca, resolver):
    with ScriptedTpsp(connect=stall) as server:
        with Reporting(f"https://one.example:{server.port}/", ca, dns=resolver, timeout="1s") as account:
            result = account.one()
            assert result["result"] == "kept" and result["ms"] < 20000
            assert f"no answer in time at one.example[127.0.0.1]:{server.port}" in result["last_error"]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["TLS 1.2", "TLS 1.3"])
def test_a_session_is_resumed_by_the_next_process(ca, version):
    with EventApi(ca, key=KEY) as api, Reporting(api.url, ca) as account:
        api.tls.minimum_version = api.tls.maximum_version = version
        for number in range(1, 5):
            assert account.one(number)["result"] == "done"
        assert api.resumed == [False, True, True, True]


def test_a_session_is_not_resumed_once_the_certificate_is_not_trusted_any_more(ca):
    nobody = scratch("spca-")
    with EventApi(ca, key=KEY) as api, Reporting(api.url, ca) as account:
        assert account.one(1)["result"] == "done"
        account.write(tls_ca_path=str(nobody))
        result = account.one(2)
        assert result["result"] == "kept" and "certificate was not accepted" in result["last_error"]
        assert "check host and tls-ca-path" in result["last_error"] and len(api.events) == 1
    remove(nobody)


def test_libraries_take_neither_trust_nor_orders_from_the_environment(ca):
    directory = scratch("spca-")
    keys = directory / "keys"
    with EventApi(ca, key=KEY) as api, Reporting(api.url, None) as account:
        account.write(tls_ca_path=str(directory))
        environment = {"SSL_CERT_DIR": str(ca.hashed), "SSL_CERT_FILE": str(ca.certificate), "SSLKEYLOGFILE": str(keys),
                       "CURL_CA_BUNDLE": str(ca.certificate)}
        assert account.one(1, environment=environment)["result"] == "kept"
        account.write(tls_ca_path=str(ca.hashed))
        account.end_pauses()
        assert account.one(2, environment=environment)["result"] == "done"
        assert not keys.exists() or keys.read_bytes() == b""
    remove(directory)
