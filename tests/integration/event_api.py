"""A stand-in for SendPost's event ingestion API over HTTPS: checks the key and each event against the contract, records
every request with its time, and answers as it is told to.

    with EventApi(ca, key="…") as api:              # api.url, ca.hashed for tls-ca-path
        api.script(Answer(503, headers={"Retry-After": "7"}), Answer(act="hang"))    # the next two requests
        api.on_type["dropped"] = Answer(422, b'{"error":"unknown event_type"}')      # whatever holds such an event
        api.default = Answer(202)                                                    # all others
        api.default = function                                                       # which is called with the request and answers
        …
        api.events        what was accepted, each with the "event_id" it came with, in order of arrival
        api.requests      everything that was asked, with .time, .headers, .events, .problems, .answer

As a program, for demonstrations: python3 event_api.py --directory DIR [--port N] [--key KEY] [--status N] prints a line
"listening URL CA-DIRECTORY" and then each accepted event as one JSON line.
"""
import argparse
import gzip
import json
import re
import socket
import ssl
import struct
import sys
import threading
import time
import uuid
from dataclasses import dataclass, field

from support import wait_for

PATH = "/api/v1/tpsp/custom-smtp/events"
KINDS = {59: ("CSSent", "sent"), 60: ("CSDelivered", "delivered"), 61: ("CSDeferred", "deferred"),
         62: ("CSDropped", "dropped"), 63: ("CSHardBounced", "bounced"), 64: ("CSSoftBounced", "soft_bounced")}
REQUIRED = {"message_id": str, "event_type": str, "event_id": str, "cs_event": str, "cs_event_id": int, "timestamp": str,
            "source": str}
OPTIONAL = {"recipient": str, "sender": str, "queue_id": str, "smtp_code": int, "smtp_enhanced_code": str,
            "smtp_description": str, "tpsp": str, "tpsp_id": int, "provider": str, "attempt": int}
BODY_MAX = 64 << 20


@dataclass
class Answer:
    """status, body and headers; or something else: hang (say nothing), hang-body (after the header), drip (a byte now
    and then), reset (TCP reset), close, garbage (no HTTP), huge (an endless body), truncate (less body than promised), early-hints and cut-head
    (an interim answer, or part of one, and no more), continue-flood (interim answers without end)."""
    status: int = 202
    body: bytes = b'{"status":"accepted"}'
    headers: dict = field(default_factory=dict)
    act: str = ""
    keep_alive: bool = True
    delay: float = 0  # seconds before it


@dataclass
class Request:
    time: float
    method: str
    path: str
    headers: dict
    body: bytes
    events: list
    problems: list
    answer: Answer = None
    connection: int = 0
    probe: bool = False  # a batch without events, by which sendpostctl check asks whether the key is right

    @property
    def types(self):
        return [event.get("event_type") for event in self.events]


def problems_of(event):
    """What is wrong with an event, by the contract's table."""
    if not isinstance(event, dict):
        return ["an event is no object"]
    found = [f"{key} is missing" for key in REQUIRED if key not in event]
    for key, value in event.items():
        kind = REQUIRED.get(key) or OPTIONAL.get(key)
        if kind is None:
            found.append(f"{key} is no key of the contract")
        elif type(value) is not kind:
            found.append(f"{key} is {type(value).__name__}, not {kind.__name__}")
        elif value == "" or (key != "cs_event_id" and value == 0):
            found.append(f"{key} is empty: it was to be left out")
    if found:
        return found
    name, word = KINDS.get(event["cs_event_id"], ("", ""))
    if event["cs_event"] != name:
        found.append(f"cs_event {event['cs_event']} does not belong to {event['cs_event_id']}")
    others = {"dropped": ("bounced",), "sent": ("delivered",)}  # for an API that refuses the usual word
    if event["event_type"] not in (word, *others.get(word, ())):
        found.append(f"event_type {event['event_type']} does not belong to {name}")
    for key in ("message_id", "event_id"):
        try:
            if str(uuid.UUID(event[key])) != event[key]:
                found.append(f"{key} is not in the usual form")
        except ValueError:
            found.append(f"{key} is no UUID")
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event["timestamp"]):
        found.append("timestamp is not RFC 3339 UTC with milliseconds")
    if event["source"] not in ("pipe", "agent", "bounce"):
        found.append("source is none of pipe, agent, bounce")
    if len(event.get("smtp_description", "").encode()) > 1000:
        found.append("smtp_description is longer than 1,000 bytes")
    if not re.fullmatch(r"[245]\.\d{1,3}\.\d{1,3}", event.get("smtp_enhanced_code", "2.0.0")):
        found.append("smtp_enhanced_code is none")
    return found


class Connection:
    """One TCP connection; requests on it follow each other."""

    def __init__(self, stream, number):
        self.stream, self.number, self.buffer = stream, number, b""

    def read_until(self, mark, limit):
        while mark not in self.buffer:
            if len(self.buffer) > limit:
                raise ValueError("the request is too large")
            data = self.stream.recv(65536)
            if not data:
                raise EOFError
            self.buffer += data
        head, self.buffer = self.buffer.split(mark, 1)
        return head

    def read_exactly(self, length):
        while len(self.buffer) < length:
            data = self.stream.recv(65536)
            if not data:
                raise EOFError
            self.buffer += data
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        return body

    def request(self):
        lines = self.read_until(b"\r\n\r\n", 65536).decode("latin-1").split("\r\n")
        method, path, version = lines[0].split(" ")
        headers = {}
        for line in lines[1:]:
            name, value = line.split(":", 1)
            headers[name.strip().lower()] = value.strip()
        problems = [] if version == "HTTP/1.1" else [f"the version is {version}"]
        length = int(headers.get("content-length", "0"))
        if length > BODY_MAX:
            raise ValueError("the body is too large")
        body = self.read_exactly(length)
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        return Request(time.time(), method, path, headers, body, [], problems, connection=self.number)


class EventApi:
    def __init__(self, ca=None, key=None, certificate=None, port=0, keys=None, tls=True):
        """certificate: (certificate, key) in the place of one from ca for localhost. keys: several that are right."""
        self.keys = set(keys or ([key] if key else []))
        self.requests, self.events, self.default = [], [], Answer()
        self.on_type, self._script = {}, []
        self.probes_expected = 0
        self.headers = {}  # of every answer, besides
        self.lock, self.stopping = threading.Lock(), threading.Event()
        self.on_event = None
        self.tls = None
        if tls:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.minimum_version = ssl.TLSVersion.TLSv1_2
            self.tls.set_alpn_protocols(["http/1.1"])
            self.tls.load_cert_chain(*[str(path) for path in certificate or ca.issue("localhost")])
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", port))
        self.listener.listen(256)
        self.port = self.listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://localhost:{self.port}{PATH}"
        self.connections, self.resumed = 0, []  # of the TLS handshakes that succeeded: whether they resumed a session
        self.open_streams = set()
        threading.Thread(target=self._accept, daemon=True).start()

    # --- what it is told ------------------------------------------------------------------------------------------

    def script(self, *answers):
        """Answers to the next requests, one each, before on_type and default have their turn."""
        with self.lock:
            self._script.extend(answers)

    def forget(self):
        """As new."""
        with self.lock:
            self.requests.clear()
            self.events.clear()
            self._script.clear()
            self.on_type.clear()
            self.probes_expected = 0
            self.headers = {}
            self.default = Answer()

    def wait_events(self, count, timeout=240):
        wait_for(lambda: len(self.events) >= count, lambda: f"{count} events, there are {len(self.events)}", timeout)
        return list(self.events)

    def ids(self):
        return [event["event_id"] for event in self.events]

    @property
    def problems(self):
        """Everything that broke the contract so far."""
        with self.lock:
            return [problem for request in self.requests for problem in request.problems] + \
                ["a batch without events"] * (sum(request.probe for request in self.requests) - self.probes_expected)

    def hang_up(self):
        """End every connection that is open."""
        for stream in list(self.open_streams):
            try:
                stream.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.stopping.set()
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        self.hang_up()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # --- what it does -----------------------------------------------------------------------------------------------

    def _accept(self):
        while not self.stopping.is_set():
            try:
                stream, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(stream, self.connections), daemon=True).start()

    def _serve(self, stream, number):
        stream.settimeout(300)
        try:
            if self.tls is not None:
                stream = self.tls.wrap_socket(stream, server_side=True)
                self.resumed.append(stream.session_reused)
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.open_streams.add(stream)
            connection = Connection(stream, number)
            while self._answer(connection, connection.request()):
                pass
        except (OSError, EOFError, ValueError):
            pass
        finally:
            self.open_streams.discard(stream)
            stream.close()

    def _judge(self, request):
        """The answer that a well-behaved API gives, before any script: None when nothing is wrong."""
        if request.method != "POST" or request.path != PATH:
            request.problems.append(f"{request.method} {request.path}")
            return Answer(404, b'{"error":"not found"}')
        if request.headers.get("content-type") != "application/json":
            request.problems.append(f"Content-Type {request.headers.get('content-type')}")
        if "expect" in request.headers:
            request.problems.append("Expect is sent")
        if self.keys and request.headers.get("x-sp-event-apikey") not in self.keys:
            return Answer(401, b'{"error":"invalid api key"}')
        try:
            document = json.loads(request.body.decode("utf-8"))
            request.events = document["events"]
            if set(document) != {"events"}:
                request.problems.append("the body is not {\"events\":[…]}")
            elif not request.events:
                request.probe = True
                return Answer(400, b'{"error":"no events"}')
        except (ValueError, KeyError, TypeError):
            request.problems.append("the body is no JSON of the contract")
        for event in request.events:
            request.problems.extend(problems_of(event))
        return Answer(400, json.dumps({"error": request.problems}).encode()) if request.problems else None

    def _choose(self, request):
        answer = self._judge(request)
        with self.lock:
            if self._script:
                answer = self._script.pop(0)
            elif answer is None:
                answer = next((self.on_type[kind] for kind in request.types if kind in self.on_type), self.default)
            if callable(answer):
                answer = answer(request)
            request.answer = answer
            self.requests.append(request)
            if 200 <= answer.status <= 299 and answer.act in ("", "hang-body", "drip-body", "truncate", "huge"):
                self.events.extend(request.events)
                accepted = list(request.events)
            else:
                accepted = []
        for event in accepted:
            if self.on_event:
                self.on_event(event)
        return answer

    def _answer(self, connection, request):
        answer = self._choose(request)
        stream, act = connection.stream, answer.act
        if answer.delay > 0:
            self.stopping.wait(answer.delay)
        if act == "hang":
            self._hold(stream)
        elif act == "reset":
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            socket.socket.close(stream)
            return False
        elif act == "close":
            return False
        elif act == "garbage":
            stream.sendall(b"\x00\xffthis is no HTTP\r\n\r\n" * 10)
            return False
        elif act == "continue-flood":
            while not self.stopping.is_set():
                stream.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)
        else:
            return self._send(stream, answer)
        return False

    def _send(self, stream, answer):
        headers = {"Content-Type": "application/json", "Content-Length": str(len(answer.body)), **self.headers, **answer.headers}
        if answer.act in ("huge", "hang-body", "drip-body", "truncate"):
            headers["Content-Length"] = str(10 << 30)
        if not answer.keep_alive:
            headers["Connection"] = "close"
        head = f"HTTP/1.1 {answer.status} {answer.status}\r\n" + "".join(f"{n}: {v}\r\n" for n, v in headers.items())
        head = head.encode("latin-1") + b"\r\n"
        if answer.act == "drip":
            for byte in head + answer.body:
                stream.sendall(bytes([byte]))
                if self.stopping.wait(0.2):
                    return False
        elif answer.act == "drip-body":
            stream.sendall(head)
            while not self.stopping.wait(0.2):
                stream.sendall(b"x")
        elif answer.act == "huge":
            stream.sendall(head)
            while not self.stopping.is_set():
                stream.sendall(b"x" * 65536)
        elif answer.act == "early-hints":
            stream.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        elif answer.act == "cut-head":
            stream.sendall(head[:-4])
        else:
            stream.sendall(head + answer.body)
            if answer.act == "hang-body":
                self._hold(stream)
        return answer.act == "" and answer.keep_alive

    def _hold(self, stream):
        """Until the other side gives up, or we end."""
        stream.settimeout(0.1)
        while not self.stopping.is_set():
            try:
                if not stream.recv(4096):
                    return
            except TimeoutError:
                continue


def main():
    from tls_ca import CertificateAuthority
    parser = argparse.ArgumentParser(description="A stand-in for the event ingestion API.")
    parser.add_argument("--directory", required=True, help="where the private CA is made")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--key", help="the right X-SP-Event-ApiKey; every one is right without it")
    parser.add_argument("--status", type=int, default=202, help="answer to every request that is well-formed")
    options = parser.parse_args()
    ca = CertificateAuthority(options.directory, name="Demo CA")
    with EventApi(ca, key=options.key, port=options.port) as api:
        api.default = Answer(options.status)
        api.on_event = lambda event: print(json.dumps(event), flush=True)
        print("listening", api.url, ca.hashed, flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            sys.exit(0)


if __name__ == "__main__":
    main()
