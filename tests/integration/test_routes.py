"""Routes of a pool: mail reaches the TPSP that the mailbox provider or the sender domain names, real servers each; explain and
check say which way and why."""
import json

from plain_relay import entry, send, while_open
from scripted_tpsp import ScriptedTpsp
from support import free_port
from tpsp import Tpsp


def message(sender="sender@example.com"):
    return f"From: {sender}\nTo: user@example.com\nSubject: routes\n\nbody\n".encode()


def explain(site, recipient, *options):
    done = site.run("explain", "--json", *options, recipient, program=site.libexec / "sendpostctl")
    told = json.loads(done.stdout)
    return told["decision"], {stage["stage"]: stage["text"] for stage in told["stages"]}, [stage["stage"] for stage in told["stages"]]


def check(site):
    done = site.run("check", "--json", "--offline", "--no-postfix", program=site.libexec / "sendpostctl")
    return [finding for finding in json.loads(done.stdout)["checks"] if "route" in finding["text"]]


def configure(site, tpsps, strategy, routes, **settings):
    pool = {"name": "default", "strategy": strategy, "members": [tpsp["name"] for tpsp in tpsps if tpsp["name"] != "spare"],
            "routes": routes}
    pools = [pool]
    if any(tpsp["name"] == "spare" for tpsp in tpsps):
        pool["overflow"] = "beside"
        pools.append({"name": "beside", "members": ["spare"]})
    site.configure(tpsps, pools=pools, **settings)


def test_each_provider_and_each_sender_domain_reaches_its_tpsp(site, ca):
    """Two real Postfix servers with TLS and login; both strategies."""
    domains = "gmail.com yahoo.com elsewhere.example"
    with Tpsp(ca, "one.test", domains=domains) as one, Tpsp(ca, "two.test", domains=domains) as two:
        tpsps = [site.tpsp(one, ca, "one"), site.tpsp(two, ca, "two")]
        configure(site, tpsps, "by-provider", {"gmail": "two", "default": "one"})
        for recipient in ("user@gmail.com", "user@yahoo.com", "user@elsewhere.example"):
            assert send(site, recipient)[0] == 0
        assert [mail.recipient for mail in two.wait_messages()] == ["user@gmail.com"]
        assert sorted(mail.recipient for mail in one.wait_messages(2)) == ["user@elsewhere.example", "user@yahoo.com"]

        one.forget(), two.forget()
        configure(site, tpsps, "by-sender-domain", {"example.com": "two", "news.example.com": "one", "default": "one"})
        for sender in ("a@example.com", "b@mail.example.com", "c@news.example.com", "d@example.net"):
            assert send(site, "user@gmail.com", message=message(sender))[0] == 0
        heard = [sorted(mail.header("From")[0] for mail in server.wait_messages(2)) for server in (two, one)]
        assert heard == [["a@example.com", "b@mail.example.com"], ["c@news.example.com", "d@example.net"]]


def test_another_member_takes_over_and_overflow_stands_in_for_those_left_alone(site):
    with ScriptedTpsp(auth="") as second, ScriptedTpsp(auth="") as spare:
        configure(site, [entry(free_port(), "first"), entry(second, "second"), entry(spare, "spare")], "by-provider",
                  {"gmail": "first", "default": "second"})
        assert "tpsp=second" in send(site, "user@gmail.com")[1]
        # both are left alone after failures: the pool beside them takes it, and explain says so
        configure(site, [entry(free_port(), "first"), entry(free_port(), "second"), entry(spare, "spare")], "by-provider",
                  {"gmail": "first", "default": "second"})

        def look(number):
            status, text = send(site, "user@gmail.com", "-q", f"4b{number}")
            assert status == 0 and "tpsp=spare" in text
            decision, stages, _ = explain(site, "user@gmail.com")
            assert decision == "relay"
            assert stages["route"] == "gmail: to first first, by the route gmail"
            assert "left alone after 5 failures" in stages["tpsp first"]
            assert stages["overflow"] == "nobody in pool default can take it now: pool beside"
            assert stages["way"] == "spare, of pool beside"

        while_open([site], lambda number: send(site, "user@gmail.com", "-q", f"4b{number}"), look)


def test_explain_names_members_in_the_order_of_the_message(site):
    with ScriptedTpsp(auth="") as one, ScriptedTpsp(auth="") as two:
        configure(site, [entry(one, "one"), entry(two, "two")], "by-sender-domain", {"example.com": "two", "default": "one"})
        _, stages, order = explain(site, "user@example.org", "--sender", "a@mail.example.com")
        assert stages["route"] == "mail.example.com: to two first, by the route example.com"
        assert order[-3:] == ["tpsp two", "tpsp one", "way"] and stages["way"] == "two, of pool default"
        assert explain(site, "user@example.org")[1]["route"] == "no sender domain (say --sender ADDRESS): to one first, by the route default"
        # what a dry run would send is marked for that TPSP
        done = site.run("-n", "-f", "a@example.com", "--", "user@example.org", message=message("a@example.com"))
        assert "tpsp=two" in done.stdout.decode()
        assert not one.connections and not two.connections


def test_check_names_the_routes_that_no_message_takes(site):
    configure(site, [entry(1, "one"), entry(2, "two")], "by-provider", {"office365": "two", "gmail": "one", "default": "one"})
    (finding,) = [found for found in check(site) if found["status"] == "warning"]
    assert "no message takes the route office365" in finding["text"] and finding["remedy"] == "provider-lookup: mx"
    (site.top / "providers").write_text("office365 domain contoso.example\n")
    site.give(site.top / "providers", 0o644)
    assert not [found for found in check(site) if found["status"] == "warning"]

    configure(site, [entry(1, "one"), entry(2, "two")], "by-sender-domain",
              {"example.com": "two", "a.example.net": "two", "example.org": "one"},
              return_path={"verify": "static", "domains": ["example.com", "example.net"]})
    (finding,) = [found for found in check(site) if found["status"] == "warning"]
    assert "no message takes the route example.org" in finding["text"] and "return-path.domains" in finding["remedy"]
