"""DNS servers on loopback: unbound and dnsmasq as they are, and one that answers whatever a test wants, however wrong."""
import socket
import subprocess
import threading

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from support import end_process, free_port, remove, scratch, wait_for


def answers(port):
    """Whether anything at all answers a query on this port."""
    query = dns.message.make_query("example.", "SOA").to_wire()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.2)
        try:
            client.sendto(query, ("127.0.0.1", port))
            return bool(client.recv(4096))
        except OSError:
            return False


class Daemon:
    """A DNS daemon with records "name. TYPE data" of the zone example., which it knows completely."""

    def __init__(self, records):
        self.top, self.port = scratch("spdns-"), free_port()
        self.process = subprocess.Popen(self.command(records), stdout=subprocess.DEVNULL,
                                        stderr=open(self.top / "log", "w", encoding="ascii"))
        try:
            wait_for(lambda: self.process.poll() is not None or answers(self.port), "the DNS server to answer")
            assert self.process.poll() is None, (self.top / "log").read_text()
        except BaseException:
            self.close()
            raise

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def close(self):
        if self.process.poll() is None:
            end_process(self.process.pid)
        self.process.wait()
        remove(self.top)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Unbound(Daemon):
    def command(self, records):
        data = "".join(f"  local-data: '{record}'\n" for record in records)
        (self.top / "unbound.conf").write_text(
            f"server:\n  interface: 127.0.0.1@{self.port}\n  port: {self.port}\n  do-daemonize: no\n  use-syslog: no\n"
            f"  logfile: \"\"\n  chroot: \"\"\n  username: \"\"\n  pidfile: \"\"\n  directory: \"{self.top}\"\n"
            "  module-config: iterator\n  do-not-query-localhost: no\n  do-ip6: no\n  so-rcvbuf: 0\n"
            "  local-zone: 'example.' static\n" + data +
            "remote-control:\n  control-enable: no\n"
            f"forward-zone:\n  name: 'broken.'\n  forward-addr: 127.0.0.1@{free_port()}\n")
        return ["unbound", "-d", "-c", str(self.top / "unbound.conf")]


class Dnsmasq(Daemon):
    def command(self, records):
        options = []
        for record in records:
            name, kind, data = record.split(" ", 2)
            name, data = name.rstrip("."), data.rstrip(".")
            if kind == "MX":
                preference, host = data.split()
                options.append(f"--mx-host={name},{host.rstrip('.')},{preference}")
            elif kind == "CNAME":
                options.append(f"--cname={name},{data}")
            else:
                options.append(f"--host-record={name},{data}")
        return ["dnsmasq", "--keep-in-foreground", f"--port={self.port}", "--listen-address=127.0.0.1", "--bind-interfaces",
                "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--pid-file=", "--user=root", "--log-facility=-",
                "--local=/example/", *options]


class Scripted:
    """
    Calls script(query, tcp) for every query; what comes back is sent: a dns.message.Message, bytes, a list of these, or
    None for silence. queries holds (name, type, over TCP) of all that came.
    """

    def __init__(self, script):
        self.script, self.queries = script, []
        while True:
            self.udp, self.tcp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket()
            try:
                self.udp.bind(("127.0.0.1", 0))
                self.port = self.udp.getsockname()[1]
                self.tcp.bind(("127.0.0.1", self.port))
                break
            except OSError:
                self.udp.close()
                self.tcp.close()
        self.tcp.listen()
        self.threads = [threading.Thread(target=target, daemon=True) for target in (self.serve_udp, self.serve_tcp)]
        for thread in self.threads:
            thread.start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def asked(self, name, kind):
        return sum(1 for query in self.queries if query[:2] == (name, kind))

    def replies(self, wire, tcp):
        query = dns.message.from_wire(wire)
        question = query.question[0]
        self.queries.append((question.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(question.rdtype), tcp))
        replies = self.script(query, tcp)
        for reply in replies if isinstance(replies, list) else [replies]:
            if reply is not None:
                yield reply if isinstance(reply, bytes) else reply.to_wire(max_size=65535)

    def serve_udp(self):
        while True:
            try:
                wire, client = self.udp.recvfrom(4096)
                if not wire:  # closed
                    return
                for reply in self.replies(wire, False):
                    self.udp.sendto(reply, client)
            except OSError:
                return

    def serve_tcp(self):
        while True:
            try:
                connection, _ = self.tcp.accept()
            except OSError:
                return
            with connection:
                try:
                    length = int.from_bytes(connection.recv(2, socket.MSG_WAITALL), "big")
                    for reply in self.replies(connection.recv(length, socket.MSG_WAITALL), True):
                        connection.sendall(len(reply).to_bytes(2, "big") + reply)
                except (OSError, dns.exception.DNSException):
                    pass

    def close(self):
        for server in (self.udp, self.tcp):
            try:
                server.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            server.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def reply(query, *records, rcode="NOERROR", authority=(), aa=True, ra=False, tc=False):
    """An answer with records "name. ttl TYPE data"."""
    message = dns.message.make_response(query, recursion_available=ra)
    message.set_rcode(dns.rcode.from_text(rcode))
    message.flags |= (dns.flags.AA if aa else 0) | (dns.flags.TC if tc else 0)
    for section, lines in ((message.answer, records), (message.authority, authority)):
        for line in lines:
            name, ttl, kind, data = line.split(" ", 3)
            section.append(dns.rrset.from_text(name, int(ttl), "IN", kind, data))
    return message
