"""A stand-in for SendPost's own API over HTTPS, with what its OpenAPI description (sendpost/sendpost-go-sdk, api/openapi.yaml) says of
suppressions and domains: the key in X-SubAccount-ApiKey, lists by from, to (60 days at most), limit, offset, type and search without
regard to case, reasons as numbers, times in nanoseconds. Told to, it misbehaves.

    with SendPostApi(ca, key="…") as api:
        api.add("gone@example.com", reason=2, created=time.time() - 86400)
        api.cap = 7                      # entries in a page at most, whatever is asked for
        api.overlap = 2                  # each page repeats so many of the one before
        api.script.append((429, {"Retry-After": "1"}, b"slow down"))   # the next answers
        api.half = True                  # lists hold the entries of even numbers alone, in whatever windows they are asked for
        api.clock = -3600                # its clock, in seconds from ours
"""
import json
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

REASONS = {"manual": 0, "unsubscribe": 1, "hardBounce": 2, "spamComplaint": 3}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize, disable_nagle_algorithm = -1, True

    def log_message(self, *_):
        pass

    def answer(self, status, body, headers=()):
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle_all(self):
        api = self.server.api
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with api.lock:
            api.requests.append((self.command, self.path, body))
            if api.script:
                status, headers, text = api.script.pop(0)
                return self.answer(status, text, headers)
            if self.headers.get("X-SubAccount-ApiKey") != api.key:
                return self.answer(401, b'{"message":"invalid key"}')
            url = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            try:
                found = getattr(api, f"{self.command.lower()}_{url.path.rsplit('/', 1)[1]}")(query, body)
            except AttributeError:
                return self.answer(404, b'{"message":"no such path"}')
            except (KeyError, ValueError) as error:
                return self.answer(406, json.dumps({"message": str(error)}).encode())
            return self.answer(200, json.dumps(found).encode(), {"Content-Type": "application/json"})

    do_GET = do_POST = do_DELETE = handle_all


class SendPostApi:
    def __init__(self, ca, key="subaccount-key-4e1a"):
        self.key, self.lock = key, threading.Lock()
        self.entries, self.domains = {}, []
        self.requests, self.script = [], []
        self.cap, self.overlap, self.half, self.clock, self.number = 1000000, 0, False, 0, 100
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.api, self.server.daemon_threads = self, True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*map(str, ca.issue("localhost")))
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://localhost:{self.server.server_port}/api/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    # --- what is there -----------------------------------------------------------------------------------------------

    def add(self, email, reason=0, created=None):
        self.number += 1
        known = self.entries.get(email.lower())
        if known:
            return known
        at = created if created is not None else time.time() + self.clock
        self.entries[email.lower()] = {"id": self.number, "email": email, "reason": reason, "created": int(at * 1e9)}
        return self.entries[email.lower()]

    def domain(self, name, verified, host=None, target="sp.sendpost.email"):
        self.domains.append({"id": len(self.domains), "name": name, "verified": verified, "returnPathVerified": verified,
                             "returnPath": {"host": host or f"sp-bounces.{name}", "type": "CNAME", "textValue": target},
                             "created": int(time.time() * 1e9)})

    def emails(self):
        return set(self.entries)

    # --- the paths ------------------------------------------------------------------------------------------------------

    def page(self, found, query):
        offset, limit = int(query.get("offset", 0)), min(int(query.get("limit", 20)), self.cap)
        if self.overlap:  # as if so many had been put before these from page to page
            found = [entry for first in range(0, len(found), limit - self.overlap) for entry in found[first:first + limit]]
        return found[offset:offset + limit]

    def get_suppression(self, query, _):
        first, last = (time.mktime(time.strptime(query[name] + " UTC", "%Y-%m-%d %Z")) - time.timezone for name in ("from", "to"))
        if last - first > 60 * 86400 or last < first:
            raise ValueError("from and to are more than 60 days apart")
        if "type" in query and query["type"] not in REASONS:
            raise ValueError(f"type is none of {', '.join(sorted(REASONS))}")
        found = [entry for entry in sorted(self.entries.values(), key=lambda entry: entry["id"]) if "type" not in query or entry["reason"] == REASONS[query["type"]]]
        found = [entry for entry in found if first <= entry["created"] / 1e9 < last + 86400 and query.get("search", "").lower() in entry["email"].lower()]
        return self.page([entry for entry in found if entry["id"] % 2 == 0] if self.half and "search" not in query else found, query)

    def post_suppression(self, _, body):
        tree = json.loads(body)
        assert set(tree) <= set(REASONS), tree
        return [self.add(item["email"], REASONS[kind]) for kind, items in tree.items() for item in items]

    def delete_suppression(self, _, body):
        return [{"id": self.entries.pop(item["email"].lower(), {"id": 0})["id"], "message": "Suppressions have been deleted successfully"}
                for item in json.loads(body)["suppressions"]]

    def get_domain(self, query, _):
        return self.page(self.domains, query)
