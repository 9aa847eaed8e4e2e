"""A real Prometheus asks the agent beside a real Postfix and TPSP: each panel of the dashboard has an answer, and the
figures of deliveries are those of the deliveries."""
import json
import os
import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request

import pytest

from scripted_tpsp import ScriptedTpsp
from sendpost import build_directory
from support import TOP, end_process, free_port, listens, remove, scratch, wait_for

MESSAGE = b"From: news@example.com\r\nSubject: hello\r\n\r\nHello\r\n"
# with nothing to show here: no event API, no OAuth login, no trouble
QUIET = {"Connections", "OAuth tokens", "Mail held, stores aside", "Since the last report",
         "Suspended by hand, how much longer"}


class Prometheus:
    def __init__(self, target):
        self.top, self.port = scratch("spprom-"), free_port()
        (self.top / "prometheus.yml").write_text(json.dumps({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
            "scrape_configs": [{"job_name": "sendpost", "static_configs": [{"targets": [target]}]}]}))
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={self.top}/prometheus.yml", f"--storage.tsdb.path={self.top}/data",
             f"--web.listen-address=127.0.0.1:{self.port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(self.is_ready, "Prometheus")

    def is_ready(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=240) as answer:
                return answer.status == 200
        except OSError:
            return False

    def ask(self, expression):
        """The series; an expression that it does not understand is an error."""
        url = f"http://127.0.0.1:{self.port}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(url, timeout=240) as answer:
            result = json.loads(answer.read())
        assert result["status"] == "success", result
        return result["data"]["result"]

    def value(self, expression):
        series = self.ask(expression)
        return sum(float(one["value"][1]) for one in series) if series else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        end_process(self.process.pid)
        self.process.wait()
        remove(self.top)


@pytest.fixture
def agent(front, sendpost, tpsp, ca):
    """The port of the agent of a Postfix whose mail goes to a TPSP; another one, for pool strict, defers."""
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed; run tools/deps test")
    port = free_port()
    with ScriptedTpsp(rcpt="452 4.2.2 Mailbox full") as strict:
        sendpost.configure(
            [sendpost.tpsp(tpsp, ca), {"name": "strict", "id": 13, "host": "127.0.0.1", "port": strict.port, "security": "none"}],
            listen=f"127.0.0.1:{port}", log_path=str(front.log_path),
            pools=[{"name": "default", "members": [{"tpsp": "primary"}]}, {"name": "strict", "members": [{"tpsp": "strict"}]}])
        environment = {**os.environ, "MAIL_CONFIG": str(front.etc), "SENDPOST_LOG_FILE": str(sendpost.log_path)}
        # without new privileges, as the unit has it: postqueue, set-group-id, would not look at a configuration elsewhere
        process = subprocess.Popen(["setpriv", "--no-new-privs", build_directory() / "sendpost-agent", "-c", sendpost.config],
                                   env=environment)
        wait_for(lambda: listens(port), "the agent")
        yield port
        end_process(process.pid)
        process.wait()


def test_each_panel_has_an_answer_and_deliveries_are_counted(agent, front, sendpost, tpsp):
    with Prometheus(f"127.0.0.1:{agent}") as prometheus:
        count = 'sum(sendpost_agent_outcomes_total{outcome="%s",cause="%s",tpsp="%s"})'
        wait_for(lambda: prometheus.ask("sendpost_agent_info"), "the first scrape")
        front.wait_gone(front.sendmail(MESSAGE, "user@example.com"))
        done = sendpost.run("-p", "strict", "-q", "4bDeferred", "-f", "news@example.com", "full@gmail.com", message=MESSAGE)
        assert done.returncode == 75, done
        done = sendpost.run("-f", "no address", "x", message=MESSAGE)  # dropped or deferred: by us alone
        wait_for(lambda: prometheus.value(count % ("delivered", "none", "primary")) == 1, "the delivery")
        wait_for(lambda: prometheus.value(count % ("deferred", "message", "strict")) == 1, "the deferral")
        (deferral,) = wait_for(lambda: prometheus.ask('sendpost_agent_deferrals_total{tpsp="strict"}'), "the reason of it")
        assert deferral["metric"]["reason"] and deferral["metric"]["rule"], deferral

        def value(query):  # a scrape that came late leaves a gap
            return wait_for(lambda: [found] if (found := prometheus.value(query)) is not None else None, query)[0]
        assert value('sendpost_agent_delivery_seconds_count{tpsp="primary",provider="default"}') == 1
        assert prometheus.value('sendpost_agent_delivery_seconds_count{tpsp="strict"}') is None, "it is not through"
        assert 0 <= value('sendpost_agent_delivery_seconds_sum{tpsp="primary"}') < 600
        assert value('sendpost_agent_tpsp_certificate_expires_timestamp_seconds{tpsp="primary"}') > time.time()
        assert value('sendpost_agent_slow_down_factor{tpsp="primary",provider=""}') == 1
        wait_for(lambda: prometheus.value("sendpost_agent_queue_known") == 1, "Postfix's queue")
        assert value('sendpost_agent_queue_messages{queue="deferred"}') == 0
        wait_for(lambda: prometheus.ask("rate(sendpost_agent_lines_total[10s])"), "two scrapes")
        for panel in json.loads((TOP / "data/grafana-dashboard.json").read_text())["panels"]:
            for target in panel["targets"]:
                expression = target["expr"].replace("$__rate_interval", "1m").replace("$instance", ".*")
                assert "$" not in expression, expression
                if panel["title"] in QUIET:
                    series = prometheus.ask(expression)
                else:
                    series = wait_for(lambda asked=expression: prometheus.ask(asked), f"{panel['title']}: {expression}")
                # an empty label is none: a provider for all, the rule of what nobody said
                for name in set(re.findall(r"{{(\w+)}}", target.get("legendFormat") or "")) - {"provider"}:
                    assert not series or any(name in one["metric"] for one in series), (panel["title"], name)
