"""Events against a stand-in of the API over HTTPS: every answer of the contract, an API that is down or plays foul, and
kills at any instant. No event is lost, and none is asked about for ever."""
import json
import random
import re
import threading
import time

import pytest

from event_api import Answer, EventApi
from reporting import DEFERRED, DELIVERED, DROPPED, KEY, Reporting
from support import free_port, scratch, remove, wait_for
from tls_ca import CertificateAuthority

DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def module_api(ca):
    with EventApi(ca, keys=[KEY, "second-key-3f7a"]) as api:
        yield api


@pytest.fixture
def api(module_api):
    module_api.forget()
    yield module_api
    assert not module_api.problems


@pytest.fixture
def account(api, ca):
    with Reporting(api.url, ca) as account:
        yield account


# --- accepted ---------------------------------------------------------------------------------------------------------


@pytest.mark.smoke
@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_an_accepted_event_is_reported_once(api, account, status):
    api.default = Answer(status, b"")
    assert account.one()["result"] == "done"
    assert account.one()["result"] == "done"  # the same event again: it is there already, but its row is settled
    assert account.states() == {"reported": 1}
    event = api.events[0]
    assert (event["event_type"], event["cs_event"], event["cs_event_id"]) == ("delivered", "CSDelivered", 60)
    assert api.requests[0].headers["x-sp-event-apikey"] == KEY
    assert api.requests[0].headers["content-type"] == "application/json"


def test_a_batch_is_sent_over_one_connection(api, account):
    account.write(batch_size=10)
    account.add(35)
    done = account.flush()
    assert (done.returncode, done.stdout) == (0, "35 reported, 0 rejected, 0 pending\n")
    assert [len(request.events) for request in api.requests] == [10, 10, 10, 5]
    assert len({request.connection for request in api.requests}) == 1
    assert sorted(event["queue_id"] for event in api.events) == sorted(f"Q{n}" for n in range(1, 36))


def test_each_tpsp_reports_with_its_own_key(api, ca):
    with Reporting(api.url, ca, tpsps=[("primary", None), ("other", "second-key-3f7a")]) as account:
        account.one(1)
        account.one(2, tpsp="other")
        account.add(2, first=3, tpsp="other")
        account.add(2, first=5)
        assert account.flush().returncode == 0
        keys = {event["tpsp"]: set() for event in api.events}
        for request in api.requests:
            for event in request.events:
                keys[event["tpsp"]].add(request.headers["x-sp-event-apikey"])
        assert keys == {"primary": {KEY}, "other": {"second-key-3f7a"}}


def test_what_is_not_to_be_reported_stays_local(api, account):
    account.write(accepted_as="none", deferred=False)
    account.add(1)
    account.add(1, first=2, kind=DEFERRED)
    account.add(1, first=3, kind=DROPPED)
    assert account.flush().returncode == 0
    assert account.states() == {"local": 2, "reported": 1}
    assert [event["event_type"] for event in api.events] == ["dropped"]


def test_without_an_endpoint_events_are_local(account):
    account.endpoint = "none"
    account.write()
    assert account.one()["result"] == "done"
    assert account.states() == {"local": 1}
    assert account.flush().returncode == 0


def test_an_endpoint_taken_away_keeps_what_is_pending(api, account):
    account.add(2)
    account.endpoint = "none"
    account.write()
    done = account.flush()
    assert done.returncode == 1 and "endpoint is none" in done.stderr
    account.endpoint = api.url
    account.write()
    assert account.flush().returncode == 0
    assert len(api.events) == 2


# --- refused ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refused_batch_goes_one_at_a_time_and_the_bad_one_is_rejected(api, account, status):
    account.add(5)
    account.add(1, first=6, kind=DEFERRED)
    account.add(4, first=7)
    account.write(deferred=True)
    api.on_type["deferred"] = Answer(status, b'{"error":"not this one"}')
    done = account.flush()
    assert (done.returncode, done.stdout) == (0, "9 reported, 1 rejected, 0 pending\n")
    assert [len(request.events) for request in api.requests] == [10] + [1] * 10
    assert account.states() == {"reported": 9, "rejected": 1}
    assert re.search(rf"refused by the event API and not sent again: HTTP {status}: .*not this one", account.log())
    assert account.flush().returncode == 0  # and it is not sent again
    assert len(api.requests) == 11


def test_a_refused_single_event_is_rejected_at_once(api, account):
    api.default = Answer(422, b"no")
    result = account.one()
    assert result["result"] == "done" and "HTTP 422: no" in result["last_error"]
    assert account.states() == {"rejected": 1}


def test_dropped_becomes_bounced_where_the_word_is_refused_and_this_is_remembered(api, account):
    api.on_type["dropped"] = Answer(422, b"unknown event_type")
    assert account.one(1, kind=DROPPED)["result"] == "done"
    assert account.one(2, kind=DROPPED)["result"] == "done"
    account.add(3, first=3, kind=DROPPED)
    account.add(1, first=6)
    assert account.flush().returncode == 0
    assert [request.types for request in api.requests] == [
        ["dropped"], ["bounced"], ["bounced"], ["bounced"] * 3 + ["delivered"]]
    assert api.requests[0].events[0]["event_id"] == api.requests[1].events[0]["event_id"]
    assert {event["cs_event"] for event in api.events} == {"CSDropped", "CSDelivered"}
    assert account.states() == {"reported": 6}
    rows = json.loads(account.events("--json").stdout)
    assert [row["event_type"] for row in rows] == ["bounced"] * 5 + ["delivered"]


def test_the_word_is_tried_again_after_a_week(api, account):
    api.on_type["dropped"] = Answer(422)
    account.one(1, kind=DROPPED)
    account.query("UPDATE meta SET value = value - 8 * 86400000 WHERE key LIKE 'report.dropped-refused.%'")
    api.on_type.clear()
    account.one(2, kind=DROPPED)
    assert api.requests[-1].types == ["dropped"]


def test_a_remembered_word_that_is_refused_now_is_forgotten(api, account):
    api.on_type["dropped"] = Answer(422)
    account.one(1, kind=DROPPED)
    api.on_type.clear()
    api.on_type["bounced"] = Answer(422)
    assert account.one(2, kind=DROPPED)["result"] == "done"
    assert account.one(3, kind=DROPPED)["result"] == "done"
    assert [request.types[0] for request in api.requests] == ["dropped", "bounced", "bounced", "dropped", "dropped"]
    assert account.states() == {"reported": 3}


def test_a_dropped_event_refused_in_both_words_is_rejected_and_nothing_remembered(api, account):
    api.default = Answer(422)
    assert account.one(1, kind=DROPPED)["result"] == "done"
    assert account.states() == {"rejected": 1}
    api.default = Answer()
    account.one(2, kind=DROPPED)
    assert api.requests[-1].types == ["dropped"]


@pytest.mark.parametrize("as_, first", [("dropped", "dropped"), ("bounced", "bounced")])
def test_a_fixed_word_is_never_exchanged(api, account, as_, first):
    account.write(dropped_as=as_)
    api.default = Answer(422)
    account.one(1, kind=DROPPED)
    assert [request.types for request in api.requests] == [[first]]
    assert account.states() == {"rejected": 1}


def test_a_refused_word_followed_by_an_outage_keeps_the_event(api, account):
    api.script(Answer(422), Answer(503))
    assert account.one(1, kind=DROPPED)["result"] == "kept"
    account.end_pauses()
    assert account.flush().returncode == 0
    assert api.events[0]["event_type"] == "dropped"


# --- the key is wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_keeps_everything_and_is_said_loudly_but_seldom(api, account, status):
    api.default = Answer(status, b"who are you")
    results = account.one(1, count=20)
    assert {result["result"] for result in results} == {"kept"}
    assert all("the key is refused" in result["last_error"] or "not asked again" in result["last_error"] for result in results)
    assert account.states() == {"pending": 20}
    assert len(api.requests) == 1
    assert account.log().count("the key is refused") == 1
    done = account.flush()
    assert done.returncode == 1 and "20 events stay pending" in done.stderr and "key is refused" in done.stderr


def test_a_corrected_key_is_tried_at_once(api, ca):
    with Reporting(api.url, ca, key="wrong-key-1") as account:
        assert account.one(1, count=3)[2]["result"] == "kept"
        account.key = KEY
        account.write()
        assert account.one(4)["result"] == "done"
        assert account.flush().returncode == 0
        assert len(api.events) == 4


def test_one_tpsps_wrong_key_does_not_hold_up_another(api, ca):
    with Reporting(api.url, ca, tpsps=[("bad", "wrong-key-2"), ("primary", None)], batch_size=2) as account:
        account.add(5, tpsp="bad")
        account.add(5, first=6)
        done = account.flush()
        assert done.returncode == 1
        assert account.states() == {"pending": 5, "reported": 5}
        assert sum(request.answer.status == 401 for request in api.requests) == 1


def test_an_endpoint_that_refuses_deferrals_gets_no_more_of_them(api, account):
    api.on_type["deferred"] = Answer(406, b'{"error":"no such event"}')
    assert account.one(1, count=3, kind=DEFERRED)[2]["result"] == "done"
    account.add(3, first=4, kind=DEFERRED)
    account.add(3, first=7)
    assert account.pending()["result"] == "done"
    assert account.states() == {"local": 6, "reported": 3}
    assert len(api.requests) == 2
    assert account.log().count("refuses 'deferred'") == 1


def test_a_refused_sent_is_reported_as_delivered_from_then_on(api, account):
    api.on_type["sent"] = Answer(406, b'{"error":"unknown event"}')
    for number in range(1, 4):
        assert account.one(number, kind=59)["result"] == "done"
    assert [(event["event_type"], event["cs_event"]) for event in api.events] == [("delivered", "CSSent")] * 3
    assert len(api.requests) == 4


# --- the API is down -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [
    Answer(408), Answer(429), Answer(500), Answer(502), Answer(503), Answer(504), Answer(599), Answer(301), Answer(302),
    Answer(404), Answer(405), Answer(410), Answer(418), Answer(act="reset"), Answer(act="close"), Answer(act="garbage"),
    Answer(503, act="huge"), Answer(503, act="truncate"), Answer(202, act="early-hints"), Answer(202, act="cut-head")], ids=lambda answer: answer.act or str(answer.status))
def test_whatever_else_is_answered_the_event_is_kept_and_reported_later(api, account, answer):
    api.script(answer)
    assert account.one()["result"] == "kept"
    assert account.states() == {"pending": 1}
    account.end_pauses()
    assert account.pending()["result"] == "done"
    assert account.states() == {"reported": 1}
    assert not account.pauses()
    assert len(api.ids()) == 1


@pytest.mark.parametrize("act", ["hang", "drip", "continue-flood"])
def test_an_api_that_does_not_come_to_an_end_costs_one_timeout_for_all(api, account, act):
    account.write(timeout="2s")
    api.default = Answer(503, act=act)
    results = account.one(1, count=20)
    assert {result["result"] for result in results} == {"kept"}
    assert all(("in time" in result["last_error"]) == (act != "continue-flood") for result in results)  # enough is enough
    assert len(api.requests) <= 3  # a pause of a second or two may end among the twenty
    account.end_pauses()
    api.default = Answer()
    assert account.pending()["result"] == "done"
    assert account.states() == {"reported": 20}


def test_an_answer_that_ends_within_its_head_is_said_to_be_cut_short(api, account):
    api.script(Answer(202, act="cut-head"))
    assert "the answer was cut short" in account.one()["last_error"]


@pytest.mark.parametrize("act", ["hang-body", "drip-body", "truncate", "huge"])
def test_a_success_stands_whatever_happens_to_its_body(api, account, act):
    account.write(timeout="2s")
    api.script(Answer(202, act=act))
    assert account.one()["result"] == "done"
    assert account.states() == {"reported": 1}


def test_a_redirect_is_not_followed(api, account):
    api.script(Answer(307, headers={"Location": f"https://localhost:{api.port}/elsewhere"}))
    assert account.one()["result"] == "kept"
    assert len(api.requests) == 1
    assert "this is no event API, correct endpoint" in account.log()


def test_retry_after_is_honoured_in_seconds_and_as_a_date(api, account):
    for number, value in ((1, "700"), (2, time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 700)))):
        api.script(Answer(429, headers={"Retry-After": value}))
        assert account.one(number)["result"] == "kept"
        assert 600 < int(account.pauses()[0].split()[0]) / 1000 - time.time() < 701
        assert account.pending()["result"] == "kept" and len(api.requests) == number  # not asked before
        account.end_pauses()
        account.pending()
        api.requests.pop()
    assert account.states() == {"reported": 2}


@pytest.mark.parametrize("value", ["-5", "soon", "99999999999999999999", "", "Thu, 01 Jan 1970 00:00:00 GMT"])
def test_a_foolish_retry_after_does_no_harm(api, account, value):
    api.script(Answer(503, headers={"Retry-After": value}))
    assert account.one()["result"] == "kept"
    assert 0 <= int(account.pauses()[0].split()[0]) / 1000 - time.time() < 86401


def test_pauses_grow_up_to_a_minute_and_end_with_the_first_success(api, account):
    api.default = Answer(503)
    lengths = []
    for number in range(1, 12):
        account.one(number)
        until, failures, _, why = account.pauses()[0].split(" ", 3)
        lengths.append(int(until) / 1000 - time.time())
        assert int(failures) == number and why.startswith("HTTP 503")
        account.end_pauses()
    assert lengths[0] < 1.3 and 40 < lengths[-1] < 76
    api.default = Answer()
    assert account.one(12)["result"] == "done"
    assert not account.pauses()


def test_when_a_pause_ends_one_process_asks_for_all(api, account):
    api.default = Answer(503)
    account.one(1)
    api.forget()
    account.end_pauses()
    answered = threading.Event()

    def answer(_):
        answered.wait(240)
        return Answer(503)

    api.default = answer
    probes = [account.start_one(first=number) for number in range(2, 12)]
    wait_for(lambda: sum(probe.poll() is not None for probe in probes) == 9, "nine who do not ask")
    answered.set()
    results = [json.loads(probe.communicate(timeout=240)[0]) for probe in probes]
    assert {result["result"] for result in results} == {"kept"}
    assert len(api.requests) == 1
    assert account.states() == {"pending": 11}


def test_while_the_api_is_slow_events_are_left_to_an_agent_that_runs(api, account):
    account.write(patience="1s", timeout="20s", listen="none", log_path=str(account.top / "mail.log"), flush_interval="1s")
    api.default = Answer(delay=2.0)
    slow = [account.start_one(first=number) for number in range(1, 5)]
    assert [json.loads(process.communicate(timeout=240)[0])["result"] for process in slow] == ["done"] * 4
    assert account.one(5)["result"] == "done"  # there is no agent: nobody else would report it
    agent = account.start("sendpost-agent", "-c", account.config)
    number = iter(range(6, 1000))
    try:
        for _ in range(3):  # all but a probe now and then
            wait_for(lambda: account.one(next(number))["result"] == "left", "an event to be left to the agent", interval=0)
        wait_for(lambda: set(account.states()) == {"reported"}, account.states)
        api.default = Answer()
        wait_for(lambda: account.one(next(number))["result"] == "done" and not account.query(
            "SELECT 1 FROM meta WHERE key LIKE 'report.pace.%' AND CAST(value AS INTEGER) > 1000"), "answers to be quick again")
        wait_for(lambda: set(account.states()) == {"reported"}, account.states)
    finally:
        agent.terminate()
        agent.communicate()
    ids = api.ids()
    assert len(ids) == len(set(ids)) == next(number) - 1
    assert "takes long to answer" in account.log() and "answers quickly again" in account.log()


def test_the_deadline_of_the_delivery_is_kept(api, account):
    account.write(timeout="30s")
    api.default = Answer(act="hang")
    result = account.one(deadline_ms=700)
    assert result["result"] == "kept" and result["ms"] < 10000


def test_a_server_error_caused_by_one_event_does_not_hold_up_the_others(api, account):
    account.add(3)
    account.add(1, first=4, kind=DEFERRED)
    account.add(3, first=5)
    api.on_type["deferred"] = Answer(500, b"NullPointerException")
    account.pending()
    assert account.states() == {"pending": 1, "reported": 6}
    [(tries, due)] = account.query("SELECT tries, put_off_ms FROM events WHERE state = 0")
    assert tries == 1 and due / 1000 > time.time() + 20


def test_a_batch_too_large_for_the_api_becomes_smaller(api, account):
    account.write(batch_size=40)
    account.add(40)
    api.default = Answer(503)
    sizes = []
    for _ in range(5):
        account.pending()
        sizes.append(len(api.requests[-1].events))
        account.end_pauses()
    assert sizes == [40, 40, 20, 10, 5]


def test_a_machine_without_the_api_loses_nothing(api, ca):
    dead = f"https://localhost:{free_port()}/api/v1/tpsp/custom-smtp/events"
    with Reporting(dead, ca) as account:
        assert account.one()["result"] == "kept"
        account.endpoint = "https://no-such-host.invalid/events"
        account.write()
        result = account.one(2)
        assert result["result"] == "kept" and "resolve" in result["last_error"]
        account.endpoint = api.url
        account.write()
        assert account.flush().returncode == 0
        assert len(api.events) == 2


# --- TLS --------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def other_ca():
    directory = scratch("spca-")
    yield CertificateAuthority(directory, name="Other CA")
    remove(directory)


@pytest.mark.parametrize("what", ["wrong-ca", "wrong-name", "expired", "self-signed-name-only", "name-in-subject-alone", "plain"])
def test_a_server_that_cannot_prove_itself_gets_nothing(ca, other_ca, what):
    certificate = {"wrong-name": lambda: ca.issue("elsewhere.example", alternatives=()),
                   "expired": lambda: ca.issue("localhost", expired=True),
                   "self-signed-name-only": lambda: other_ca.issue("localhost"),
                   "name-in-subject-alone": lambda: other_ca.issue("localhost", only_cn=True),
                   "wrong-ca": lambda: ca.issue("localhost")}.get(what, lambda: None)()
    with EventApi(key=KEY, certificate=certificate, tls=what != "plain") as api:
        with Reporting(api.url.replace("http:", "https:"), other_ca if what in ("wrong-ca", "name-in-subject-alone") else ca,
                       timeout="2s" if what == "plain" else "60s") as account:
            result = account.one()
            assert result["result"] == "kept"
            assert account.states() == {"pending": 1}
            assert re.search("in time" if what == "plain" else "certificate|match", result["last_error"]), result
            assert not api.requests


def test_the_systems_bundle_is_not_trusted_in_passing(api):
    """An empty CA directory trusts nobody, whatever libcurl was built with and the environment says."""
    directory = scratch("spca-")
    with Reporting(api.url) as account:
        account.write(tls_ca_path=str(directory))
        assert account.one()["result"] == "kept"
        assert not api.requests
    remove(directory)


def test_neither_proxy_nor_library_variables_of_the_environment_count(api, account, ca, other_ca):
    environment = {"https_proxy": f"http://127.0.0.1:{free_port()}", "ALL_PROXY": f"http://127.0.0.1:{free_port()}",
                   "CURL_CA_BUNDLE": "/nonexistent", "HOME": "/nonexistent"}
    assert account.one(environment=environment)["result"] == "done"


# --- secrets ------------------------------------------------------------------------------------------------------------------


def test_the_key_is_never_shown(api, account):
    echo = b'{"error":"key ' + KEY.encode() + b' is not known' + b" " * 900 + KEY.encode() * 30 + b'"}'
    for number, status in enumerate((401, 422, 503, 202), 1):
        api.script(Answer(status, echo, headers={"X-Echo": KEY}))
        done = account.run("tests/integration/event_probe", account.config, "one", DELIVERED, "primary", number, 1, 60000,
                           "trace")
        assert "X-SP-Event-ApiKey: ********" in done.stderr
        assert KEY not in done.stdout + done.stderr
        account.end_pauses()
    done = account.flush("-v")
    assert KEY not in done.stdout + done.stderr
    assert KEY.encode() not in account.everything()
    assert KEY[:12].encode() not in account.everything()


def test_the_key_is_no_argument_of_a_process(api, account):
    api.default = Answer(act="hang")
    probe = account.start_one()
    wait_for(lambda: api.requests, "the request")
    with open(f"/proc/{probe.pid}/cmdline", "rb") as command, open(f"/proc/{probe.pid}/environ", "rb") as environment:
        assert KEY.encode() not in command.read() + environment.read()
    probe.kill()
    probe.communicate()


def test_what_is_pending_of_a_message_is_reported_before_its_new_event(api, account):
    api.default = Answer(503)
    assert account.one(1, kind=DEFERRED)["result"] == "kept"
    account.end_pauses()
    api.forget()
    api.default = Answer()
    assert account.one(2)["result"] == "done"
    assert account.one(1)["result"] == "done"
    assert [[(event["event_type"], event["queue_id"]) for event in request.events] for request in api.requests] == [
        [("delivered", "Q2")], [("deferred", "Q1"), ("delivered", "Q1")]]
    assert account.states() == {"reported": 3}


def test_a_message_that_another_tpsp_takes_is_reported_in_order_too(api, ca):
    with Reporting(api.url, ca, tpsps=[("primary", None), ("backup", None), ("other", "second-key-3f7a")]) as account:
        api.default = Answer(503)
        account.one(1, kind=DEFERRED)
        account.one(2, kind=DEFERRED, tpsp="other")
        account.end_pauses()
        api.forget()
        api.default = Answer()
        assert account.one(1, tpsp="backup")["result"] == "done"
        assert [(event["event_type"], event["tpsp"]) for event in api.events] == [("deferred", "primary"), ("delivered", "backup")]
        assert account.one(2)["result"] == "done"  # the older one goes with another key
        assert account.states() == {"reported": 3, "pending": 1}


def test_a_refused_older_event_does_not_stop_the_new_one(api, account):
    api.default = Answer(503)
    account.one(1, kind=DEFERRED)
    account.end_pauses()
    api.default = Answer()
    account.write(deferred=True)
    api.on_type["deferred"] = Answer(422)
    assert account.one(1)["result"] == "done"
    assert account.states() == {"reported": 1, "rejected": 1}


def test_an_older_event_that_fails_alone_holds_its_message_up(api, account):
    account.add(1, kind=DEFERRED)
    api.on_type["deferred"] = Answer(500)
    assert account.one(1)["result"] == "kept"
    assert account.one(2)["result"] == "kept"  # for a moment: it may be the API
    assert account.states() == {"pending": 3}
    account.end_pauses()
    api.on_type.clear()
    assert account.pending()["result"] == "done"
    assert account.states() == {"reported": 3}
    mine = [event["event_type"] for event in api.events if event["queue_id"] == "Q1"]
    assert mine == ["deferred", "delivered"]


def test_one_that_is_put_off_holds_its_message_up_within_the_batch_too(api, account):
    account.add(1, kind=DEFERRED)
    account.add(1, first=2)
    account.add(1)
    api.on_type["deferred"] = Answer(500)
    account.pending()
    assert account.states() == {"pending": 2, "reported": 1}
    account.end_pauses()
    api.on_type.clear()
    assert account.pending()["result"] == "done"
    assert [event["event_type"] for event in api.events if event["queue_id"] == "Q1"] == ["deferred", "delivered"]


# --- kills and neighbours --------------------------------------------------------------------------------------------------------


def test_kill_at_any_instant_loses_no_event(api, account):
    """What is in the store is reported in the end; only what was killed between answer and record comes twice, and
    then under the same id."""
    random.seed(7)
    api.default = Answer()
    number = 1
    for _ in range(60):
        probes = [account.start_one(first=number + 1000 * i, count=1000) for i in range(3)]
        before, wanted = len(api.requests), random.randint(0, 12)
        wait_for(lambda: len(api.requests) >= before + wanted or any(p.poll() is not None for p in probes), "some requests")
        for probe in probes:
            probe.kill()
            probe.communicate()
        number += 3000
    account.query("UPDATE events SET put_off_ms = 0, due_ms = 0 WHERE state = 0")
    assert account.flush().returncode == 0
    stored = {row[0] for row in account.query("SELECT event_id FROM events")}
    assert account.states() == {"reported": len(stored)}
    assert stored == set(api.ids())
    assert len(api.ids()) - len(stored) <= 180


def test_processes_that_report_at_the_same_time_report_nothing_twice(api, account):
    account.write(batch_size=7)
    account.add(300)
    flushes = [account.start("sendpostctl", "-c", account.config, "events", "flush") for _ in range(8)]
    probes = [account.start_one(first=1000 * i, count=20) for i in range(1, 5)]
    for process in flushes + probes:
        process.communicate(timeout=240)
    assert account.flush().returncode == 0
    assert len(api.ids()) == len(set(api.ids())) == 380


def test_a_full_backlog_is_reported_in_batches(api, account):
    account.add(5000)
    assert account.pending()["result"] == "done"
    assert len(set(api.ids())) == 5000
    assert len(api.requests) == 50


# --- retention ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("says, codings", [("br, gzip;q=0.5", ["", "gzip", "gzip"]), ("gzip;q=0", ["", "", ""]), (None, ["", "", ""])])
def test_large_batches_are_compressed_where_the_endpoint_takes_that(api, ca, says, codings):
    with Reporting(api.url, ca, batch_size=400) as account:
        account.add(1200)
        api.default = Answer(headers={"Accept-Encoding": says} if says else {})
        account.flush()
        assert [request.headers.get("content-encoding", "") for request in api.requests] == codings
        assert len(set(api.ids())) == len(api.ids()) == 1200 and not api.problems


def test_a_server_that_takes_no_gzip_any_more_gets_the_batch_as_it_is(api, ca):
    with Reporting(api.url, ca, batch_size=400) as account:
        account.add(1200)
        api.script(Answer(headers={"Accept-Encoding": "gzip"}), Answer(415, headers={"Accept-Encoding": "identity"}))
        account.flush()
        assert [request.headers.get("content-encoding", "") for request in api.requests] == ["", "gzip", "", ""]
        assert len(set(api.ids())) == len(api.ids()) == 1200


def test_old_events_are_deleted_but_never_pending_ones(api, account):
    account.write(events_retention="1h")
    account.add(1200, age_ms=6 * DAY_MS)
    account.add(10, first=2000)
    assert account.flush().returncode == 0
    wait_for(lambda: account.flush() and account.states() == {"reported": 10}, "the end of the old ones: a part at a time")
    api.default = Answer(503)
    account.add(5, first=3000, age_ms=6 * DAY_MS)
    account.flush()
    assert account.states() == {"reported": 10, "pending": 5}


def test_what_proves_how_a_message_ended_outlives_a_short_retention(api, account):
    """Postfix may still have it: without the proof it would be sent once more, or after it was dropped. All else goes."""
    account.write(events_retention="1h")
    account.add(100, age_ms=7200_000)
    account.add(100, first=200, kind=62, age_ms=7200_000)
    account.add(100, first=400, kind=61, age_ms=7200_000)
    assert account.flush().returncode == 0
    wait_for(lambda: account.flush() and account.query("SELECT cs, count(*) FROM events GROUP BY cs") == [(60, 100), (62, 100)],
             "the end of the deferrals")


def test_a_machine_without_an_agent_does_not_grow_for_ever(api, account):
    account.write(events_retention="1h")
    account.add(400, age_ms=6 * DAY_MS)
    assert account.flush().returncode == 0
    account.add(400, first=1000, age_ms=6 * DAY_MS)
    account.query("UPDATE events SET state = 1")
    for first in range(10_000, 20_000, 500):
        account.one(first, count=500)
        if account.query("SELECT count(*) FROM events WHERE timestamp_ms < ?", time.time() * 1000 - 3600_000)[0][0] == 0:
            return
    pytest.fail("10,000 runs did not delete 400 old events")


# --- sendpostctl events ----------------------------------------------------------------------------------------------------------------


def test_events_can_be_listed_by_state_time_message_and_recipient(api, account):
    account.add(2, age_ms=7200_000)
    assert account.flush().returncode == 0
    account.add(1, first=3)
    account.add(1, first=4, kind=DROPPED)

    def listed(*arguments):
        done = account.events("--json", *arguments)
        assert done.returncode == 0, done.stderr
        return [event["queue_id"] for event in json.loads(done.stdout)]

    assert listed() == ["Q1", "Q2", "Q3", "Q4"]
    assert listed("--state", "pending") == ["Q3", "Q4"]
    assert listed("--state", "rejected") == []
    assert listed("--since", "1h") == ["Q3", "Q4"]
    assert listed("--since", "3h", "--state", "reported") == ["Q1", "Q2"]
    assert listed("--message-id", "00000000-0000-5000-8000-000000000002") == ["Q2"]
    assert listed("--recipient", "user3@EXAMPLE.com") == ["Q3"]
    first = json.loads(account.events("--json").stdout)[0]
    assert first["state"] == "reported" and first["event_type"] == "delivered"
    table = account.events("--state", "pending").stdout.splitlines()
    assert table[0].split()[:3] == ["TIME", "STATE", "EVENT"]
    assert len(table) == 3 and "user4@example.com" in table[2]


@pytest.mark.parametrize("arguments, words", [
    (["--state", "lost"], "no state"), (["--since", "yesterday"], "no duration"), (["--message-id", "7"], "no message UUID"),
    (["flush", "--state", "pending"], "takes no filter"), (["flash"], "not known here")])
def test_wrong_usage_is_explained(account, arguments, words):
    done = account.events(*arguments)
    assert done.returncode == 64 and words in done.stderr


def test_flush_ignores_a_pause_and_speaks_json(api, account):
    api.default = Answer(503)
    account.one(1)
    api.default = Answer()
    done = account.flush("--json")
    assert done.returncode == 0
    assert json.loads(done.stdout) == {"reported": 1, "rejected": 0, "pending": 0, "error": None}


def test_what_a_quick_api_took_of_many_batches_is_recorded_when_the_next_one_fails(api, account):
    """After a first quick answer many batches are asked for and recorded together."""
    account.write(batch_size=10)
    account.add(60)
    api.script(Answer(), Answer(), Answer(), Answer(status=503))
    assert account.pending()["result"] == "kept"
    assert account.states() == {"reported": 30, "pending": 30}
    reported = api.ids()
    assert len(reported) == len(set(reported)) == 30
    assert [len(request.events) for request in api.requests] == [10, 10, 10, 10]
    account.flush()
    assert account.states() == {"reported": 60} and sorted(api.ids()) == sorted(set(api.ids())) and len(api.ids()) == 60


def test_a_bad_event_among_many_batches_is_the_only_one_rejected(api, account):
    account.write(batch_size=10)
    account.add(40)
    account.add(1, first=41, kind=DROPPED)
    account.add(20, first=42)
    api.on_type["dropped"] = api.on_type["bounced"] = Answer(status=400)
    account.flush()
    assert account.states() == {"reported": 60, "rejected": 1}
    assert len(api.ids()) == len(set(api.ids())) == 60
