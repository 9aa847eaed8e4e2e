"""sendpostctl check finds each planted misconfiguration, and names the remedy."""
import http.server
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading

import pytest

from private_postfix import MAIN, MASTER
from scripted_tpsp import ScriptedTpsp
from sendpost import SECRET_KEY, USER, Sendpost, build_directory
from support import TOP, end_process, free_port, listens, remove, scratch, wait_for
from tls_ca import CertificateAuthority

CTL = build_directory() / "sendpostctl"


class Site:
    """An installation that is well, and the configuration directory of the Postfix in front of it."""

    def __init__(self, ca):
        self.sendpost, self.etc, self.ca = Sendpost(), scratch("spetc-"), ca
        chain, key = ca.issue("tpsp.test")
        self.server = ScriptedTpsp(security="starttls", chain=chain, key=key, credentials=("relay", "hunter2"))
        self.server.__enter__()
        self.tpsp = {"name": "primary", "id": 12, "host": "localhost", "port": self.server.port, "username": "relay",
                     "password-file": self.sendpost.secret_file("primary.password", "hunter2"),
                     "tls-ca-path": str(ca.hashed)}
        self.settings = {"log_path": str(self.sendpost.log_path), "validation": {"max-message-size": "100M"},
                         "retry": {"schedule": ["1h", "2h", "3h", "4h", "5h"]}}
        self.log = f"maillog_file = {self.sendpost.log_path}\nmaillog_file_prefixes = {self.sendpost.top}\n"
        self.main = self.sendpost.main_cf() + self.log
        self.master = self.sendpost.master_cf(maxproc=7)

    def write(self):
        self.sendpost.configure([self.tpsp], **self.settings)
        text = MAIN.format(top=self.etc, name="check.test") + self.main
        settings = dict(line.split(" = ", 1) if " = " in line else (line.rstrip(" ="), "")
                        for line in text.splitlines() if line and not line.startswith("#"))
        (self.etc / "main.cf").write_text("".join(f"{key} = {value}\n" for key, value in settings.items()))
        (self.etc / "master.cf").write_text(MASTER.format(port=2599, smtpd_options="", smtpd="-") + self.master)
        for name in ("main.cf", "master.cf"):  # Postfix waits until a file has been at rest for two seconds
            os.utime(self.etc / name, (1, 1))

    def run(self, *arguments):
        return subprocess.run([str(CTL), "-c", str(self.sendpost.config), "check", "--postfix-config", str(self.etc),
                               *arguments], capture_output=True, text=True, check=False, timeout=240)

    def check(self):
        done = self.run("--json")
        result = json.loads(done.stdout)
        assert done.returncode == (0 if result["ok"] else 1), done.stderr
        assert "hunter2" not in done.stdout + done.stderr
        return result

    def findings(self, status):
        return [finding for finding in self.check()["checks"] if finding["status"] == status]

    def close(self):
        self.server.__exit__(None, None, None)
        self.sendpost.close()
        remove(self.etc)


@pytest.fixture
def site(ca):
    if os.geteuid() != 0:
        pytest.skip("becoming the delivery user needs root")
    if shutil.which("postconf") is None:
        pytest.skip("Postfix is not installed; run tools/deps test")
    made = Site(ca)
    made.write()
    yield made
    made.close()


def test_a_site_that_is_well_has_no_failure(site):
    result = site.check()
    assert result["ok"], [finding for finding in result["checks"] if finding["status"] == "failure"]
    texts = "\n".join(finding["text"] for finding in result["checks"])
    assert f"{site.sendpost.config} loads for user nobody" in texts
    assert f"tpsp primary: localhost:{site.server.port} with STARTTLS, login as relay, at most 100 an hour" in texts
    assert "pool default: to primary, always" in texts
    assert f"{site.sendpost.state} is writable; the first delivery will create state.db" in texts
    assert "primary: localhost is " in texts
    assert f":{site.server.port} takes the login, TLSv1.3" in texts
    assert not site.server.transactions  # no mail
    assert "transport sendpost: runs sendpost-pipe, at most 7 deliveries at once" in texts
    assert "sendpost_destination_recipient_limit = 1" in texts
    assert "sendpost_time_limit is 1000s, above delivery-timeout (120s)" in texts
    assert "default_transport = sendpost:default" in texts
    assert not (site.sendpost.state / "state.db").exists()  # nothing was changed


def test_people_read_lines_with_remedies(site):
    site.master = site.master.replace("null_sender=", "")
    site.write()
    done = site.run()
    assert done.returncode == 1
    assert "ok       configuration: account 117, sub-account 4321\n" in done.stdout
    assert ("failure  postfix: transport sendpost: bounces would be sent from MAILER-DAEMON instead of the null sender\n"
            "         remedy: null_sender= (with nothing behind it) in master.cf\n") in done.stdout
    assert done.stdout.rstrip().endswith("1 failure")
    assert "\033" not in done.stdout


def replace_master(old, new):
    def plant(site):
        assert site.master.count(old) == 1
        site.master = site.master.replace(old, new)
        site.write()
    return plant


def add_main(line):
    def plant(site):
        site.main += line + "\n"
        site.write()
    return plant


def configure(**settings):
    def plant(site):
        site.settings.update(settings)
        site.write()
    return plant


def set_tpsp(**settings):
    def plant(site):
        site.tpsp.update(settings)
        site.write()
    return plant


def chmod(what, mode):
    def plant(site):
        os.chmod(what(site.sendpost), mode)
    return plant


def chown_root(what):
    def plant(site):
        os.chown(what(site.sendpost), 0, 0)
    return plant


def remove_state(site):
    site.sendpost.state.rmdir()


def remove_program(site):
    site.sendpost.program.unlink()


def garble_store(site):
    (site.sendpost.state / "state.db").mkdir()
    site.sendpost.give(site.sendpost.state / "state.db", 0o700)


def empty_ca(site):
    (site.sendpost.top / "cas").mkdir()
    set_tpsp(**{"tls-ca-path": str(site.sendpost.top / "cas")})(site)


def garble_providers(site):
    (site.sendpost.top / "providers").write_text("# ours\ngmale domain example.com\n")


def garble_rules(name, text):
    def plant(site):
        (site.sendpost.top / name).write_text(text)
        site.sendpost.give(site.sendpost.top / name, 0o640)
    return plant


def drop_key(site):
    configure(endpoint="https://localhost/events")(site)
    tree = json.loads(site.sendpost.config.read_text())
    del tree["api-key-file"]
    site.sendpost.config.write_text(json.dumps(tree))


def drop_recipient_limit(site):
    site.main = site.main.replace("sendpost_destination_recipient_limit = 1", "")
    site.write()


def receive_bounces(main="relay_domains = sp-bounce.example.org", old="", new="", program=None, **settings):
    """This Postfix takes the bounces of example.org, as postfix-conf/bounce has it; then something is wrong about it."""
    def plant(site):
        route = site.etc / "transport"
        route.write_text("/^sp-bounce\\.example\\.org$/ sendpost-bounce:\n/^sp-bounce\\.example\\.net$/ smtp:\n")
        entry = (TOP / "postfix-conf/bounce/master.cf.in").read_text().replace("user=sendpost", f"user={USER}")
        entry = entry.replace("@pkglibexecdir@/sendpost-bounce", program or f"{site.sendpost.libexec}/sendpost-bounce")
        assert old in entry
        site.master += entry.replace(old, new) if old else entry
        site.main += (f"sendpost-bounce_destination_recipient_limit = 1\ntransport_maps = regexp:{route}\n" + main + "\n")
        configure(**{"return-path": {"verify": "static", "domains": ["example.org"]}, **settings})(site)
    return plant


def test_bounces_that_are_received_and_handed_over_are_well(site):
    receive_bounces()(site)
    result = site.check()
    assert result["ok"], [finding for finding in result["checks"] if finding["status"] == "failure"]
    texts = [finding["text"] for finding in result["checks"]]
    assert "transport sendpost-bounce: runs sendpost-bounce, at most 10 deliveries at once" in texts
    assert "sendpost-bounce_time_limit is 1000s, above the deadline of sendpost-bounce (300s)" in texts
    assert "mail for sp-bounce.example.org is taken (relay_domains) and goes to sendpost-bounce" in texts


def test_bounces_that_are_not_received_here_are_somebody_elses(site):
    configure(**{"return-path": {"verify": "static", "domains": ["example.org"]}})(site)
    assert [finding for finding in site.findings("ok")
            if finding["text"] == "bounces to sp-bounce.example.org are not received here, but by sp.sendpost.info"]


def test_a_postfix_that_only_receives_bounces_is_no_failure(site):
    site.main, site.master = site.log, ""
    receive_bounces()(site)
    assert site.check()["ok"], site.findings("failure")


def hashed_directory_of_another(site):
    return CertificateAuthority(site.sendpost.top, "Another CA").hashed


def route_in_table(site):
    table = site.etc / "transport"
    table.write_text("example.org sendpost:\nexample.net nowhere:\nexample.com :\n")
    table.chmod(0o644)
    subprocess.run(["postmap", "-c", str(site.etc), f"hash:{table}"], check=True, capture_output=True)
    add_main(f"transport_maps = hash:{table}")(site)


def take_port(site):
    site.taken = socket.create_server(("127.0.0.1", 0))
    configure(listen=f"127.0.0.1:{site.taken.getsockname()[1]}")(site)


FAILURES = {
    "bounces to nobody": (lambda site: (receive_bounces()(site), setattr(site, "master", site.master[:site.master.index("sendpost-bounce")]),
                                        site.write()), "postfix", "no transport runs sendpost-bounce: bounces are lost",
                          "sendpostctl postfix install --bounces"),
    "bounces to another transport": (
        receive_bounces("relay_domains = sp-bounce.example.net", **{"return-path": {"verify": "static", "domains": ["example.net"]}}),
        "postfix", "mail for sp-bounce.example.net is taken (relay_domains), but does not go to sendpost-bounce",
        "sp-bounce.example.net sendpost-bounce:"),
    "bounces not taken": (receive_bounces(main=""), "postfix", "mail for sp-bounce.example.org would go to sendpost-bounce, but is not taken",
                          "relay_domains"),
    "bounces bounced": (receive_bounces(old="null_sender=", new=""), "postfix",
                        "transport sendpost-bounce: bounces would be sent from MAILER-DAEMON", "null_sender="),
    "bounces killed": (receive_bounces("relay_domains = sp-bounce.example.org\nsendpost-bounce_time_limit = 100s"), "postfix",
                       "sendpost-bounce_time_limit is 100s, the deadline of sendpost-bounce 300s", "1000s"),
    "bounces without program": (receive_bounces(program="/nonexistent/sendpost-bounce"), "postfix",
                                "/nonexistent/sendpost-bounce cannot be run", "install it there"),
    "bounces without GMime": (lambda site: (receive_bounces()(site), site.sendpost.replace("sendpost-judge", "#!/bin/sh\necho 'no libgmime' >&2\nexit 127\n")),
                              "postfix", "/sendpost-judge cannot be started: no libgmime", "apt install --no-install-recommends libgmime-3.0-0"),
    "wrong word": (set_tpsp(security="ssl"), "configuration",
                   'tpsps[0].security: "ssl" is none of none, starttls, tls', "postfix-sendpost.yaml(5)"),
    "secret open to others": (chmod(lambda it: it.top / "primary.password", 0o644), "configuration",
                              "primary.password is open to others (mode 0644); chmod o= ", "mended"),
    "secret of root": (chown_root(lambda it: it.top / "primary.password"), "configuration",
                       "primary.password cannot be read by uid 65534; chgrp it", "mended"),
    "configuration of root": (chown_root(lambda it: it.config), "configuration",
                              "config.yaml: the configuration file cannot be read by uid 65534; chgrp it", "mended"),
    "configuration writable by all": (chmod(lambda it: it.config, 0o666), "configuration", "anybody may change", "chmod o-w "),
    "no CA": (empty_ca, "configuration", "primary: the CA directory", "openssl rehash "),
    "no such mailbox provider": (garble_providers, "configuration", "providers:2: no such category", "correct the line"),
    "rules of replies": (garble_rules("replies", "[own] nobody\n"), "configuration", "replies:1: the verdict", "correct the line"),
    "rules of classify": (garble_rules("classify", "# ours\n[own] hard\n{from=}\n"), "configuration", "classify:3: ", "correct the line"),
    "no API key": (drop_key, "events",
                   "no API key for those of tpsp primary", "api-key-file"),
    "no state directory": (remove_state, "state", "cannot find the state directory", "install -d -o nobody -g nobody -m 0750 "),
    "state of root": (chown_root(lambda it: it.state), "state", "belongs to root, but deliveries run as nobody", "chown -R nobody: "),
    "state open": (chmod(lambda it: it.state, 0o755), "state", "is open to others (mode 0755)", "chmod 0750 "),
    "state unwritable": (chmod(lambda it: it.state, 0o550), "state", "cannot be written by nobody: Permission denied", "chmod 0750 "),
    "store broken": (garble_store, "state", "state.db", "mended"),
    "log is a directory": (lambda site: configure(log_path=str(site.etc))(site), "mail log", "is no regular file", "log-path: journal"),
    "log elsewhere": (lambda site: configure(log_path=str(site.sendpost.config))(site), "mail log",
                      "maillog_file), and not to ", "set log-path: "),
    "no log": (configure(log_path="/nonexistent/mail.log"), "mail log", "/nonexistent/mail.log does not exist", "log-path"),
    "log of root": (chown_root(lambda it: it.log_path), "mail log", "cannot be read by nobody: Permission denied", "usermod -aG adm nobody"),
    "log of root alone": (lambda site: (chown_root(lambda it: it.log_path)(site), chmod(lambda it: it.log_path, 0o600)(site)), "mail log",
                          "cannot be read by nobody: Permission denied", "postconf -e maillog_file_permissions=0644"),
    "wrong password": (lambda site: (site.sendpost.secret_file("primary.password", "hunter3"),), "tpsp",
                       "primary: Auth rejected at auth: 535", "sendpostctl setup --name primary, with the right username"),
    "wrong port": (lambda site: set_tpsp(port=free_port())(site), "tpsp", "primary: Connection refused at connect",
                   "sendpostctl setup --name primary, and correct host and port"),
    "TLS on a port of STARTTLS": (set_tpsp(security="tls"), "tpsp", "primary: TLS handshake failed at tls",
                                  "sendpostctl setup --name primary --security starttls"),
    "unknown CA": (lambda site: set_tpsp(**{"tls-ca-path": str(hashed_directory_of_another(site))})(site), "tpsp", "primary: TLS handshake failed at starttls",
                   "sendpostctl test primary --no-send -v"),
    "a transport that is not there": (add_main("relay_transport = sendpst:default"), "routes",
                                      "relay_transport leads to sendpst:default, but master.cf has no transport sendpst",
                                      "correct relay_transport"),
    "a transport that is not there, in a table": (route_in_table, "routes", "example.net in hash:", "correct example.net in hash:"),
    "port taken": (take_port, "agent", "is taken by python3 (process ", "systemctl restart sendpost-agent"),
    "unknown host": (set_tpsp(host="no-such-host.invalid"), "names", "tpsp primary: no-such-host.invalid ", ""),
    "no transport": (replace_master("sendpost-pipe", "other-pipe"), "postfix", "no transport in master.cf runs sendpost-pipe",
                     "sendpostctl postfix install"),
    "no recipient limit": (drop_recipient_limit, "postfix", "sendpost_destination_recipient_limit is ",
                           "postconf -e 'sendpost_destination_recipient_limit = 1'"),
    "time limit below ours": (add_main("sendpost_time_limit = 140s"), "postfix",
                              "sendpost_time_limit is 140s, delivery-timeout 120s: Postfix bounces", "postconf -e 'sendpost_time_limit = 1000s'"),
    "flags that alter mail": (replace_master("flags=q", "flags=qDRhu"), "postfix", "flags=qDRhu changes mail or addresses (DRhu)",
                              "flags=q, and no other"),
    "null sender": (replace_master("null_sender=", "null_sender=postmaster"), "postfix",
                    "bounces would be sent from postmaster", "null_sender="),
    "chroot": (replace_master("-       n       n       -", "-       n       y       -"), "postfix", "may run chrooted",
               "chroot column"),
    "unprivileged": (replace_master("-       n       n       -", "-       -       n       -"), "postfix", "must start privileged",
                     "unpriv column"),
    "unknown user": (replace_master("user=nobody", "user=sendpost-nobody"), "postfix", "there is no user sendpost-nobody",
                     "useradd --system"),
    "root": (replace_master("user=nobody", "user=root"), "postfix", "pipe(8) refuses to run as root", "user=sendpost"),
    "no sender": (replace_master("-f ${sender}", ""), "postfix", "the envelope sender is not passed on", "-f ${sender}"),
    "no program": (remove_program, "postfix", "sendpost-pipe cannot be run, and Postfix would bounce", "install it there"),
    "unknown pool": (add_main("default_transport = sendpost:bulk"), "postfix", "there is no pool bulk", "name a pool"),
}


def find_planted(site, level, planted):
    plant, subject, text, remedy = planted
    plant(site)
    found = site.findings(level)
    assert [finding for finding in found
            if finding["check"] == subject and text in finding["text"] and remedy in finding["remedy"]], found


@pytest.mark.parametrize("name", FAILURES)
def test_a_planted_failure_is_found_with_its_remedy(site, name):
    find_planted(site, "failure", FAILURES[name])


def cut_marks(site):
    marks = site.sendpost.state / "marks"
    marks.write_bytes(b"cut short")
    site.sendpost.give(marks, 0o600)


WARNINGS = {
    "a log of deliveries that cannot be made": (add_main("export_environment = SENDPOST_LOG_FILE=/nonexistent/sendpost.log"), "mail log",
                                                "/nonexistent/sendpost.log (SENDPOST_LOG_FILE in export_environment) cannot be written by nobody",
                                                "install -o nobody -g adm -m 0640 /dev/null /nonexistent/sendpost.log"),
    "a log of deliveries of root's": (chown_root(lambda it: it.log_path), "mail log", "cannot be written by nobody", "chown nobody:adm "),
    "more deliveries than places": (replace_master("n       n       -       7 ", "n       n       -       600 "), "postfix", "more than 512 deliveries at once have to wait",
                                    "a lower maxproc in master.cf"),
    "marks cut short": (cut_marks, "state", "marks is not as this program made it", "see who changed it"),
    "nothing comes back": (receive_bounces(**{"return-path": {"verify": "off"}}), "postfix", "nothing comes back to it", "return-path: {verify: static"),
    "bounces of another domain": (receive_bounces(**{"return-path": {"verify": "static", "domains": ["example.com"]}}), "postfix",
                                  "mail for sp-bounce.example.com is not taken here", "relay_domains"),
    "no verification": (set_tpsp(**{"tls-verify": False}), "configuration", "can redirect the connection", "tls-verify: true"),
    "clear text": (set_tpsp(security="none", **{"auth-without-tls": True}), "configuration", "the password travels unencrypted", "starttls"),
    "a name without a dot": (set_tpsp(**{"helo-name": "mailhost"}), "configuration", "EHLO says mailhost, which is no full name: large",
                             "helo-name: "),
    "an address literal": (set_tpsp(**{"helo-name": "[192.0.2.1]"}), "configuration", "[192.0.2.1], an address literal: large providers",
                           "helo-name: "),
    "an unknown service": (set_tpsp(service="sendgird"), "configuration", "no rule belongs to service sendgird", "service: auto"),
    "no id": (lambda site: (site.tpsp.pop("id"), site.write()), "configuration", "has no id", "as id"),
    "no default pool": (configure(pools=[{"name": "bulk", "members": ["primary"]}]), "configuration", "there is no pool default",
                        "name one of the pools default"),
    "no uuid key": (configure(), "uuid key", "message UUIDs carry no proof", "sendpostctl setup makes"),
    "a table in mynetworks": (add_main("mynetworks = 127.0.0.0/8, hash:/etc/postfix/senders"), "senders",
                              "mynetworks holds hash:/etc/postfix/senders, which", "trusted-senders"),
    "no queue id": (replace_master("-q ${queue_id}", ""), "postfix", "a retry cannot be recognised", "-q ${queue_id}"),
    "no flags": (replace_master("flags=q", ""), "postfix", "arrive garbled", "flags=q"),
    "no route": (add_main("default_transport = smtp"), "postfix", "no mail is routed to it", "transport(5)"),
    "larger in front": (configure(validation={"max-message-size": "1M"}), "postfix", "Postfix takes mail that is dropped later", "message_size_limit"),
    "short queue": (lambda site: (configure(retry={"schedule": ["7h", "8h"]})(site),
                                  add_main("maximal_queue_lifetime = 2h")(site)), "postfix", "maximal_queue_lifetime is 7200s, shorter than retry.schedule (54000s)", "retry.schedule"),
}


@pytest.mark.skipif(os.path.exists("/dev/log"), reason="a syslog daemon takes what deliveries say")
def test_deliveries_that_are_logged_nowhere_are_told_with_the_setting_that_mends_it(site):
    add_main("export_environment = TZ")(site)
    find_planted(site, "warning", (lambda _: None, "mail log", "what deliveries say is lost", f"postconf -e 'export_environment = TZ SENDPOST_LOG_FILE={site.sendpost.top}/"))


@pytest.mark.parametrize("name", WARNINGS)
def test_what_may_be_meant_is_a_warning(site, name):
    find_planted(site, "warning", WARNINGS[name])


def test_a_full_name_and_a_known_service_are_well(site):
    set_tpsp(service="ses", **{"helo-name": "mail.example.com"})(site)
    assert not [finding for finding in site.findings("warning") if "EHLO" in finding["text"] or "service" in finding["text"]]


def test_an_agent_that_runs_is_seen(site):
    port = free_port()
    configure(listen=f"127.0.0.1:{port}")(site)
    process = subprocess.Popen([build_directory() / "sendpost-agent", "-c", site.sendpost.config], stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: listens(port), "the agent to listen")
        assert [finding for finding in site.findings("ok") if finding["text"] == f"answers at 127.0.0.1:{port}: ok"]
    finally:
        end_process(process.pid)
        process.wait()
    assert [finding for finding in site.findings("warning") if finding["check"] == "agent" and "systemctl start" in finding["remedy"]]


def test_the_socket_of_the_agent_may_lie_in_the_state_directory(site):
    path = site.sendpost.state / "page"
    site.settings["listen"] = f"unix:{path}"
    site.write()
    with socket.socket(socket.AF_UNIX) as agent, socket.socket(socket.AF_UNIX) as other:
        agent.bind(str(path))
        other.bind(str(site.sendpost.state / "other"))
        for name in ("page", "other"):
            os.chown(site.sendpost.state / name, site.sendpost.uid, site.sendpost.gid)
        failures = [finding["text"] for finding in site.findings("failure")]
    assert len(failures) == 1 and f"{site.sendpost.state}/other is no regular file" in failures[0], failures


def status_line(site):
    done = subprocess.run([str(CTL), "-c", str(site.sendpost.config), "status"], capture_output=True, text=True, check=False, timeout=60,
                          env={**os.environ, "MAIL_CONFIG": str(site.etc)})
    return done.stdout + done.stderr


def test_the_group_that_pipe_gives_the_user_decides_what_he_can_read(site):
    """user=nobody:mail: what that group may read is well, and what only his own may read is not."""
    site.master = site.master.replace(f"user={USER}", f"user={USER}:mail")
    site.write()
    for path in (site.sendpost.config, site.tpsp["password-file"]):
        shutil.chown(path, "root", "mail")
        os.chmod(path, 0o640)
    assert site.findings("failure") == []
    assert "mail waits" not in status_line(site)
    shutil.chown(site.sendpost.config, "root", site.sendpost.gid)
    found = [finding for finding in site.findings("failure") if finding["check"] == "configuration"]
    assert found and "cannot be read by uid" in found[0]["text"], found
    assert "mail waits" in status_line(site)


@pytest.mark.parametrize("group, text", [("no-such-group", "there is no group no-such-group"), ("root", "refuses to run with group root")])
def test_a_group_that_pipe_does_not_take_is_a_failure(site, group, text):
    site.master = site.master.replace(f"user={USER}", f"user={USER}:{group}")
    site.write()
    found = [finding for finding in site.findings("failure") if text in finding["text"]]
    assert found and f"user={USER}" in found[0]["remedy"]


def test_a_time_limit_given_in_master_cf_counts(site):
    replace_master("flags=q user", "-o sendpost_time_limit=70s flags=q user")(site)
    assert [finding for finding in site.findings("failure") if "sendpost_time_limit is 70s" in finding["text"]]


def test_the_store_that_root_looks_at_stays_the_users(site):
    from sqlite3 import connect
    path = site.sendpost.state / "state.db"
    connect(path).close()
    path.touch()
    site.sendpost.give(path, 0o640)
    assert site.check()["ok"]
    assert {file.stat().st_uid for file in site.sendpost.state.iterdir()} == {site.sendpost.uid}


class Api(http.server.ThreadingHTTPServer):
    """Answers every POST over HTTPS with one status; keeps what it was sent."""

    def __init__(self, ca, status):
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.seen, self.date = status, [], None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*ca.issue("api.test"))
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.url = f"https://localhost:{self.server_port}/events"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((self.headers["X-SP-Event-ApiKey"], json.loads(body)))
        self.send_response_only(self.server.status)
        self.send_header("Date", self.server.date or self.date_time_string())
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.mark.parametrize("status, level, text", [
    (202, "ok", "does not refuse the key of the account"),
    (400, "ok", "does not refuse the key of the account"),
    (401, "failure", "the key of the account is refused: HTTP 401"),
    (403, "failure", "the key of the account is refused: HTTP 403"),
    (404, "failure", "takes no events: HTTP 404"),
    (503, "warning", "the API is in trouble: HTTP 503"),
])
def test_the_key_is_tried_with_a_batch_without_events(site, ca, status, level, text):
    with Api(ca, status) as api:
        site.settings.update(endpoint=api.url, ca=ca)
        site.write()
        found = [finding for finding in site.findings(level) if finding["check"] == "events" and text in finding["text"]]
        assert found, site.check()
        assert api.seen[0] == (SECRET_KEY, {"events": []})
        assert SECRET_KEY not in json.dumps(site.check())


def test_an_api_that_is_not_there_is_a_failure(site, ca):
    site.settings.update(endpoint=f"https://localhost:{free_port()}/events", ca=ca)
    site.write()
    assert [finding for finding in site.findings("failure") if "cannot be reached: " in finding["text"]]


def test_a_clock_that_the_api_does_not_share_is_a_failure(site, ca):
    with Api(ca, 202) as api:
        site.settings.update(endpoint=api.url, ca=ca)
        site.write()
        assert [finding for finding in site.findings("ok") if finding["text"] == "agrees with the event API's"]
        api.date = "Thu, 01 Jan 2026 00:00:00 GMT"
        (found,) = [finding for finding in site.findings("failure") if finding["check"] == "clock"]
        assert "ahead of the event API's" in found["text"] and found["remedy"] == "timedatectl set-ntp true"


def test_offline_asks_nobody(site, ca):
    with Api(ca, 202) as api:
        site.settings.update(endpoint=api.url, ca=ca)
        site.tpsp["host"] = "no-such-host.invalid"
        site.write()
        assert site.run("--offline").returncode == 0
        assert not api.seen and not site.server.connections


def test_usage_errors_end_with_64():
    for arguments in (["chekc"], ["check", "--bogus"], ["check", "extra"], ["-c"], [], ["check", "--config"]):
        done = subprocess.run([str(CTL), *arguments], capture_output=True, text=True, check=False, timeout=240)
        assert done.returncode == 64, arguments
        assert done.stdout == "" and ("Try: sendpostctl" in done.stderr or "Usage: sendpostctl" in done.stderr)


def test_help_and_version_end_with_0():
    for arguments in (["--help"], ["-h"], ["check", "--help"], ["-V"], ["check", "--version"]):
        done = subprocess.run([str(CTL), *arguments], capture_output=True, text=True, check=False, timeout=240)
        assert done.returncode == 0 and done.stdout and done.stderr == "", arguments
    overview = subprocess.run([str(CTL), "--help"], capture_output=True, text=True, check=True).stdout
    for line in overview.split("Commands:\n")[1].split("\n\n")[0].splitlines():
        done = subprocess.run([str(CTL), line.split()[0], "--help"], capture_output=True, text=True, check=True)
        assert "Examples:\n  sendpostctl " in done.stdout
