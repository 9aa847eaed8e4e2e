"""What postmasters' tools are given (alert rules, dashboard, OpenAPI) against the agent as it really answers."""
import json
import re
import shutil
import subprocess
import urllib.error
import urllib.request

import pytest

from agent_runner import Agent
from support import TOP, free_port

jsonschema = pytest.importorskip("jsonschema")
yaml = pytest.importorskip("yaml")
KEY = "operations-key"
TEST = "/api/v1/tpsp/test/custom-smtp"


@pytest.fixture(scope="module")
def agent():
    running = Agent(api_key=KEY)
    running.log_path.write_text("")
    with running.start():
        yield running


@pytest.fixture(scope="module")
def described():
    return yaml.safe_load((TOP / "data/openapi.yaml").read_text())


def names_in(expressions):
    return set(re.findall(r"sendpost_agent_\w+", "\n".join(expressions)))


def served(agent):
    """Also those that have a value only sometimes."""
    text = agent.get("/metrics")[1]
    told = re.findall(r"(?m)^# TYPE (sendpost_agent_\w+) (?!histogram)", text)
    return {*told, *re.findall(r"(?m)^(sendpost_agent_\w+)[ {]", text)}


def promtool(*arguments, **options):
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed; run tools/deps test")
    return subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False, **options)


def ask(agent, method, path, body=None, key=None):
    request = urllib.request.Request(f"http://127.0.0.1:{agent.port}{path}", method=method,
                                     data=None if body is None else json.dumps(body).encode(),
                                     headers={"X-SP-Event-ApiKey": key} if key else {})
    try:
        with urllib.request.urlopen(request, timeout=240) as answer:
            return answer.status, answer.headers.get_content_type(), answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers.get_content_type(), error.read().decode()


def hold_against(described, path, method, answer):
    """The answer is one of those described, and of the described form."""
    status, kind, body = answer
    responses = described["paths"][path][method.lower()]["responses"]
    assert str(status) in responses, answer
    content = responses[str(status)]["content"]
    assert kind in content, answer
    if kind == "application/json":
        schema = {**content[kind]["schema"], "components": described["components"]}
        jsonschema.Draft202012Validator(schema).validate(json.loads(body))
    return status, body


def test_prometheus_takes_the_metrics(agent):
    done = promtool("check", "metrics", input=agent.get("/metrics")[1])
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_the_alert_rules():
    done = promtool("check", "rules", TOP / "data/prometheus-alerts.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_alerts_fire_when_they_should(tmp_path):
    for file in (TOP / "data/prometheus-alerts.yaml", TOP / "tests/data/alerts.yaml"):
        (tmp_path / file.name).write_text(file.read_text())
    done = promtool("test", "rules", tmp_path / "alerts.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_about_a_metric_that_is_served(agent):
    groups = yaml.safe_load((TOP / "data/prometheus-alerts.yaml").read_text())["groups"]
    names = names_in(rule["expr"] for group in groups for rule in group["rules"])
    # this agent is of no cluster, and without a Postfix
    alone = {name for name in names if not name.startswith(("sendpost_agent_cluster_", "sendpost_agent_queue_"))}
    assert len(alone) >= 8 and alone <= served(agent), alone - served(agent)


# served once there was a delivery: test_prometheus.py has some
DELIVERY_TIMES = {f"sendpost_agent_{name}{part}" for name in ("delivery_seconds", "store_wait_seconds")
                  for part in ("", "_sum", "_count")}


def test_the_dashboard_shows_all_metrics_that_are_served(agent):
    dashboard = json.loads((TOP / "data/grafana-dashboard.json").read_text())
    names = names_in(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
    names = {name for name in names if not name.startswith("sendpost_agent_queue_")}
    names = {name.removesuffix("_bucket") if name.removesuffix("_bucket") in DELIVERY_TIMES else name for name in names}
    assert names <= served(agent) | DELIVERY_TIMES, names - served(agent)
    # what is no figure of its own: when the agent started, parts of the histogram, what configuration makes zero
    unshown = served(agent) - names - {f"sendpost_agent_{name}" for name in (
        "start_time_seconds", "post_duration_seconds_sum", "post_duration_seconds_count", "log_lag_bytes",
        "deferrals_coalesced_total", "queue_known")}
    assert not unshown


def test_pages_are_as_described(agent, described):
    for path in ("/", "/health", "/metrics", "/live", "/login", "/page.js", "/style.css", "/icon.svg"):
        hold_against(described, path, "GET", ask(agent, "GET", path))


def test_the_connectivity_test_is_as_described(agent, described):
    body = {"host": "127.0.0.1", "port": free_port(), "security": "none", "from": "a@example.org", "to": "b@example.com"}
    status, text = hold_against(described, TEST, "POST", ask(agent, "POST", TEST, body, KEY))
    assert status == 200 and json.loads(text)["error"] == "Connection refused"
    assert hold_against(described, TEST, "POST", ask(agent, "POST", TEST, body, "wrong"))[0] == 401
    assert hold_against(described, TEST, "POST", ask(agent, "POST", TEST, {"host": "x"}, KEY))[0] == 400
    assert hold_against(described, TEST, "POST", ask(agent, "POST", TEST, {"host": "x" * 100000}, KEY))[0] == 413


def test_a_connectivity_test_that_ends_well_is_as_described(agent, described, tpsp):
    from tpsp import PASSWORD, USERNAME
    body = {"host": "localhost", "port": tpsp.port, "username": USERNAME, "password": PASSWORD, "tls-verify": False,
            "from": "a@example.org", "to": "b@example.com"}
    _, text = hold_against(described, TEST, "POST", ask(agent, "POST", TEST, body, KEY))
    assert json.loads(text)["ok"], text


def test_what_is_not_described_is_not_served(agent, described):
    assert set(described["paths"]) == {"/", "/health", "/metrics", "/live", "/login", "/page.js", "/style.css", "/icon.svg", TEST}
    assert ask(agent, "GET", "/nothing")[0] == 404
    assert ask(agent, "POST", "/health", {})[0] == 405
