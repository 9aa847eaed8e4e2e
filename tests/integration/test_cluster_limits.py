"""Several hosts, one limit: a real Valkey or Redis server, and hosts that are state directories of their own."""
import json
import subprocess
import threading

import pytest

from cuttable_proxy import CuttableProxy
from sendpost import build_directory
from support import remove, scratch, wait_for
from valkey_server import PROGRAM, ValkeyServer

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no valkey-server or redis-server; run tools/deps test")

LIMIT = 10


class Host:
    """One machine of the cluster: a state directory, a configuration, and processes that ask for slots."""

    def __init__(self, servers, tpsps=("primary",), extra="", limit=f"{LIMIT}/s", warm_up=None):
        self.directory = scratch("sphost-")
        (self.directory / "state").mkdir(mode=0o750)
        self.config, self.going_on = self.directory / "config.yaml", self.directory / "going-on"
        lines = "".join(f"  - {{name: {name}, host: 127.0.0.1, port: 2525, security: none, max-rate-per-hour: 0, rates: [{limit}]"
                        f"{f', warm-up: {warm_up}' if warm_up and name == tpsps[0] else ''}}}\n" for name in tpsps)
        self.config.write_text(f"account-id: 1\nsubaccount-id: 2\nstate-dir: {self.directory}/state\nendpoint: none\nrate-burst: 3\n"
                               f"tpsps:\n{lines}"
                               f"cluster: {{servers: [{', '.join(json.dumps(s) for s in servers)}], tls: false{extra}}}\n")
        self.config.chmod(0o640)
        self.admissions, self.process, self.sum = [], None, None

    def ask(self, *options, tpsp="primary"):
        self.process = subprocess.Popen([build_directory() / "tests/integration/cluster_probe", *options, self.config, tpsp],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.errors = []
        self.readers = [threading.Thread(target=self.read), threading.Thread(target=lambda: self.errors.extend(self.process.stderr))]
        for reader in self.readers:
            reader.start()

    def begin(self):
        """To ask until stop()."""
        self.going_on.touch()
        self.ask("--while", str(self.going_on), "--processes", "2", "--pause-us", "5000")

    def stop(self):
        self.going_on.unlink(missing_ok=True)

    def has_said(self, words):
        return any(words in line for line in self.errors)

    def read(self):
        for line in self.process.stdout:
            if line.startswith("granted"):
                _, before, after = line.split()
                self.admissions.append((int(before), int(after)))
            else:
                self.sum = json.loads(line)

    def finish(self):
        for reader in self.readers:
            reader.join()
        assert self.process.wait() == 0, self.errors
        return self.sum

    def is_let_pass(self):
        """A busy machine may take the server for away at first, and a new epoch takes a second and a half."""
        return wait_for(lambda: self.asked(2, "--pause-us", "10000")["granted"] > 0, "a slot")

    def asked(self, seconds, *options, tpsp="primary"):
        self.ask("--seconds", str(seconds), *options, tpsp=tpsp)
        return self.finish()


@pytest.fixture
def make_host():
    made = []

    def make(servers, **options):
        made.append(Host(servers, **options))
        return made[-1]

    yield make
    for host in made:
        host.stop()
        if host.process is not None:
            host.process.wait()
        remove(host.directory)


def most_in_a_window(hosts, window_s=1):
    """Admissions that lie in one window for certain: each happened between its two times."""
    every = sorted((after, before) for host in hosts for before, after in host.admissions)
    most = 0
    for begin in sorted(before for _, before in every):
        most = max(most, sum(1 for after, before in every if before >= begin and after < begin + window_s * 1000000))
    return most


def wait_admissions(hosts, count=LIMIT):
    def seen():
        return sum(len(host.admissions) for host in hosts)

    wanted = seen() + count
    wait_for(lambda: seen() >= wanted or any(host.process.poll() is not None for host in hosts), "admissions")


def run_all(hosts, *trouble):
    """All hosts ask; trouble is a list of functions, each called when another part of the admissions has been seen, and to return when
    it has been noticed. They go on for more than a window's worth after the last."""
    for host in hosts:
        host.begin()
    for each in trouble:
        wait_admissions(hosts)
        each()
    wait_admissions(hosts, 2 * LIMIT)
    for host in hosts:
        host.stop()
    sums = [host.finish() for host in hosts]
    assert all(each["trouble"] == 0 for each in sums), sums
    assert sum(each["granted"] for each in sums) > LIMIT
    return sums


def until_none_is_away(run):
    """run() gives the sums of hosts that reach their server: a busy machine may once be late with one answer among hundreds."""
    for _ in range(10):
        sums = run()
        if not any(each["away"] for each in sums):
            return
    raise AssertionError(sums)


def test_three_hosts_together_keep_one_limit(make_host):
    with ValkeyServer() as server:
        def run():
            hosts = [make_host([server.address]) for _ in range(3)]
            sums = run_all(hosts)
            assert most_in_a_window(hosts) <= LIMIT
            return sums

        until_none_is_away(run)


def test_a_server_that_comes_back_empty_hears_first_what_the_hosts_know(make_host):
    with ValkeyServer() as server:
        hosts = [make_host([server.address]) for _ in range(3)]

        def restart():
            server.restart_empty()
            wait_for(server.keys, "the server to be used again")

        run_all(hosts, restart)
        assert most_in_a_window(hosts) <= LIMIT


def ask_until(host, number, tpsp="primary"):
    """As often as it takes, for a busy machine may take the server for away."""
    wait_for(lambda: host.asked(1, "--pause-us", "10000", tpsp=tpsp) and len(host.admissions) >= number, f"{number} slots")


DAY_S = 86400


def test_a_day_of_a_warm_up_is_not_sent_twice_where_the_server_comes_back_empty(make_host):
    warm_up = "{start: 2020-01-01, plan: [3, 3], providers: {default: [4, 4]}}"  # midnight may pass meanwhile
    with ValkeyServer() as server:
        hosts = [make_host([server.address], tpsps=("primary", "old"), warm_up=warm_up) for _ in range(2)]
        ask_until(hosts[0], 3)
        server.restart_empty()
        ask_until(hosts[0], 4, tpsp="old")  # slots are given out again
        del hosts[0].admissions[3:]
        assert [host.asked(1, "--pause-us", "10000")["granted"] for host in hosts] == [0, 0]
        assert most_in_a_window(hosts, DAY_S) == 3


def test_with_share_a_host_that_is_cut_off_has_its_share_of_a_warm_up_too(make_host):
    """Each of the two numbers in lanes of its own: of 4 and 4 it is 2."""
    with ValkeyServer() as server:
        proxy = CuttableProxy(server.port)
        proxy.set_cut(True)
        alone = make_host([proxy.address], extra=", when-away: share, share: 50%",
                          warm_up="{start: 2020-01-01, plan: [4, 4], providers: {default: [4, 4]}}")  # midnight may pass meanwhile
        ask_until(alone, 2)
        alone.asked(2, "--pause-us", "10000")
        assert most_in_a_window([alone], DAY_S) == 2
        proxy.close()


def test_a_replica_that_lacks_the_last_writes_takes_over(make_host):
    with ValkeyServer() as first, ValkeyServer() as second:
        second.command("REPLICAOF", "127.0.0.1", first.port)
        wait_for(lambda: "master_link_status:up" in second.command("INFO"), "replication")
        hosts = [make_host([first.address, second.address]) for _ in range(3)]

        def fail_over():
            second.process.send_signal(19)  # SIGSTOP: it misses what comes now
            wait_admissions(hosts, 1)
            first.kill()
            second.process.send_signal(18)
            second.command("REPLICAOF", "NO", "ONE")
            wait_for(second.keys, "the replica to be used")

        run_all(hosts, fail_over)
        assert most_in_a_window(hosts) <= LIMIT


def test_a_host_that_is_cut_off_holds_its_mail_and_comes_back(make_host):
    def run(server):
        proxy = CuttableProxy(server.port)
        alone, *others = [make_host([proxy.address])] + [make_host([server.address]) for _ in range(2)]

        def cut():
            proxy.set_cut(True)
            wait_admissions(others, 2 * LIMIT)
            wait_for(lambda: alone.has_said("is away"), "the one that is cut off")

        def uncut():
            proxy.set_cut(False)
            wait_admissions([alone], 1)
            wait_for(lambda: alone.has_said("is back"), "the one that was cut off")

        sums = run_all([alone, *others], cut, uncut)
        proxy.close()
        assert most_in_a_window([alone, *others]) <= LIMIT
        assert sums[0]["away"] > 0
        return sums[1:]

    with ValkeyServer() as server:
        until_none_is_away(lambda: run(server))


def test_with_share_a_host_that_is_cut_off_adds_its_share_and_no_more(make_host):
    with ValkeyServer() as server:
        proxy = CuttableProxy(server.port)
        proxy.set_cut(True)
        alone = make_host([proxy.address], extra=", when-away: share, share: 50%")
        other = make_host([server.address])
        run_all([alone, other], lambda: wait_admissions([alone]), lambda: wait_admissions([other]))
        assert 0 < most_in_a_window([alone]) <= LIMIT // 2
        assert most_in_a_window([alone, other]) <= LIMIT + LIMIT // 2
        proxy.close()


def test_a_server_that_stalls_costs_one_process_its_patience_and_the_others_nothing(make_host):
    with ValkeyServer() as server:
        host = make_host([server.address])
        host.asked(2)
        server.process.send_signal(19)

        def most_wait_for_nothing():
            done = host.asked(2, "--processes", "2", "--pause-us", "1000")
            assert done["granted"] == 0
            return done["away"] > 10 and done["p50_us"] < 100000  # the patience is 200 ms

        wait_for(most_wait_for_nothing, "decisions without the patience")
        server.process.send_signal(18)


def test_a_server_that_is_slow_gives_what_it_gives_in_time_and_no_more(make_host):
    """An answer that comes too late was a slot nevertheless: it is lost, and nobody has it twice."""
    with ValkeyServer() as server:
        proxies = [CuttableProxy(server.port) for _ in range(2)]
        hosts = [make_host([proxy.address]) for proxy in proxies]

        def slow(seconds):
            for proxy in proxies:
                proxy.set_delay(seconds / 2)

        def too_slow():
            slow(0.3)
            wait_for(lambda: any(host.has_said("is away") for host in hosts), "somebody who notices")
            slow(0)
            for host in hosts:
                wait_admissions([host], 1)

        sums = run_all(hosts, lambda: slow(0.1), too_slow)
        assert most_in_a_window(hosts) <= LIMIT
        assert any(each["away"] for each in sums)
        for proxy in proxies:
            proxy.close()


def test_a_clock_that_steps_gives_nothing_out_early(make_host):
    with ValkeyServer(clock=True) as server:
        hosts = [make_host([server.address]) for _ in range(2)]
        run_all(hosts, lambda: server.step_clock("3600"), lambda: server.step_clock("-7200"), lambda: server.step_clock("10"))
        assert most_in_a_window(hosts) <= LIMIT
        assert not [line for host in hosts for line in host.errors if "an unexpected answer" in line]


@pytest.mark.parametrize("options, words", [
    (["--maxmemory", "2mb", "--maxmemory-policy", "allkeys-lru"], "maxmemory-policy noeviction"),
    (["--cluster-enabled", "yes"], "sharded cluster mode"),
    (["--requirepass", "secret"], "NOAUTH"),
])
def test_a_server_that_is_not_fit_is_passed_over_with_its_reason(make_host, options, words):
    with ValkeyServer(*options) as unfit:
        def is_told():
            """Not where a busy machine has let the patience pass before."""
            host = make_host([unfit.address])
            assert host.asked(1, "--pause-us", "10000")["granted"] == 0
            return host.has_said(words)

        wait_for(is_told, "the reason")
        with ValkeyServer() as fit:
            both = make_host([unfit.address, fit.address])
            # a new epoch first: everybody has the time to bring what he knows
            assert both.is_let_pass()


def test_a_full_server_is_away(make_host):
    with ValkeyServer() as server:
        host = make_host([server.address])
        host.asked(2)
        server.command("CONFIG", "SET", "maxmemory", "1")
        assert host.asked(1, "--pause-us", "10000")["granted"] == 0
        server.command("CONFIG", "SET", "maxmemory", "0")
        assert host.is_let_pass()


def test_a_login_is_used_and_a_wrong_one_is_told_without_the_password(make_host):
    with ValkeyServer() as server:
        server.command("ACL", "SETUSER", "sender", "on", ">parole", "~{fleet}:*", "+eval", "+evalsha", "+info", "+get", "+mget", "+set", "+del", "+time")
        good = make_host([server.address], extra=", username: sender, password: parole, name: fleet")
        assert good.is_let_pass()

        def is_told():
            bad = make_host([server.address], extra=", username: sender, password: worse-than-wrong, name: fleet")
            assert bad.asked(1)["granted"] == 0
            assert not bad.has_said("worse-than-wrong")
            return bad.has_said("Auth rejected")

        wait_for(is_told, "the reason")
