"""A TPSP that follows a script: well-behaved by default, and at any stage as wrong as a test wants it.

    with ScriptedTpsp(rcpt="550 5.1.1 no such user") as server: ...
    with ScriptedTpsp(security="starttls", chain=certificate, key=key, dot=stall) as server: ...

Stages: connect (in place of the greeting), ehlo, starttls, tls_ehlo (the EHLO under TLS), auth (the AUTH command), mail,
rcpt, data, content (as soon as content arrives), dot (behind the final dot), rset, quit. An action is a reply (text without line
end, or a list of lines that is sent as a multi-line reply), raw bytes, or a function that is called with the
connection and may do anything: see stall, stop_reading, forge, reset, hang_up, drip(), flood(), and the methods of Connection.
What happened is in server.connections, the (MAIL, RCPT) lines of each transaction in server.transactions, the messages that were
accepted in server.messages, and with the RCPT line of each in server.taken, for connections run beside each other.
"""
import base64
import select
import socket
import ssl
import struct
import threading
import time

DEFAULTS = {
    "connect": "220 scripted ESMTP",
    "ehlo": None,  # the capability list
    "tls_ehlo": None,
    "starttls": "220 2.0.0 Ready to start TLS",
    "auth": None,  # the login as RFC 4954 has it
    "mail": "250 2.1.0 Ok",
    "rcpt": "250 2.1.5 Ok",
    "data": "354 End data with <CR><LF>.<CR><LF>",
    "content": None,
    "dot": "250 2.0.0 Ok: queued as SCRIPTED",
    "rset": "250 2.0.0 Ok",
    "quit": "221 2.0.0 Bye",
}


class Ended(Exception):
    """The connection has come to its end."""


def stall(connection):
    """Say nothing, until the client goes away or the server ends."""
    connection.wait_for_client_to_go()


def stop_reading(connection):
    """Neither read nor write: the client's window fills up."""
    connection.server.ending.wait()
    raise Ended


def forge(connection):
    """Ask for the content and accept the message as soon as its first bytes are there, without reading any."""
    connection.reply("354 go on")
    select.select([connection.socket], [], [], 60)
    connection.reply("250 2.0.0 Ok: queued as LIE")
    stop_reading(connection)


def forge_within(connection):
    """Accept the message within its content, and read no more of it."""
    connection.reply("250 2.0.0 Ok: queued as LIE")
    stop_reading(connection)


def hang_up(connection):
    """Close the connection in order."""
    connection.close()
    raise Ended


def reset(connection):
    """Close the connection with a TCP reset."""
    connection.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    raise Ended


def drip(data, interval=0.05, endless=False):
    """Send data byte by byte, for ever if it has no line end or so is asked for: a deadline must not begin anew with each byte."""

    def action(connection):
        while True:
            for byte in data:
                connection.send(bytes([byte]))
                if connection.server.ending.wait(interval):
                    raise Ended
            if data.endswith(b"\n") and not endless:
                return

    return action


def flood(data, count=1 << 20):
    """Send data again and again."""

    def action(connection):
        for _ in range(count):
            connection.send(data)

    return action


class Connection:
    """One client's connection, as actions see it."""

    def __init__(self, server, tcp):
        self.server, self.tcp, self.socket = server, tcp, tcp
        self.commands = []  # lines as received, without line ends
        self.login = None  # (mechanism, user, secret)
        self.content = b""  # as received after DATA, dot-stuffed, without the final dot
        self.dot_seen = False
        self.served = 0  # messages that came whole
        self.resumed = None
        self.tls_version = None
        self.sender = self.recipient = None
        self.buffer = b""
        self.said = ""  # the last reply
        self.ended = threading.Event()

    # --- for actions ------------------------------------------------------------------------------------------

    def send(self, data):
        try:
            self.socket.sendall(data)
        except OSError as error:
            raise Ended from error

    def reply(self, text):
        lines = [text] if isinstance(text, str) else text
        self.said = lines[-1]
        for index, line in enumerate(lines):
            last = index == len(lines) - 1
            self.send((line if last or len(line) < 4 else line[:3] + "-" + line[4:]).encode() + b"\r\n")

    def read_line(self):
        while b"\n" not in self.buffer:
            self.receive()
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.rstrip(b"\r")

    def receive(self):
        try:
            data = self.socket.recv(65536)
        except OSError as error:
            raise Ended from error
        if not data:
            raise Ended
        self.buffer += data

    def close(self):
        try:
            self.tcp.close() if self.socket is self.tcp else self.socket.close()
        except OSError:
            pass

    def interrupt(self):
        """Wake the thread that waits for the client."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def wait_for_client_to_go(self):
        self.socket.settimeout(0.1)
        while not self.server.ending.is_set():
            try:
                if not self.socket.recv(65536):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        raise Ended

    def start_tls(self):
        self.socket = self.server.tls_context().wrap_socket(self.tcp, server_side=True)
        self.resumed, self.tls_version = self.socket.session_reused, self.socket.version()
        self.buffer = b""

    # --- the conversation -------------------------------------------------------------------------------------

    def act(self, stage, default=None):
        action = self.server.script.get(stage)
        if action is None:
            action = default
        if callable(action):
            action(self)
        elif isinstance(action, bytes):
            self.send(action)
        elif action is not None:
            self.reply(action)
        return action

    def run(self):
        try:
            if self.server.security == "tls":
                self.start_tls()
            self.act("connect")
            while True:
                line = self.read_line()
                self.commands.append(line.decode(errors="surrogateescape"))
                self.dispatch(line)
        except (Ended, ssl.SSLError, OSError):
            pass
        finally:
            self.close()
            self.ended.set()

    def dispatch(self, line):
        verb = line.split(b" ", 1)[0].split(b":", 1)[0].upper()
        under_tls = self.socket is not self.tcp
        if verb in (b"EHLO", b"HELO"):
            self.act("tls_ehlo" if under_tls and self.server.security == "starttls" else "ehlo", self.capabilities(verb))
        elif verb == b"STARTTLS":
            action = self.act("starttls")
            if isinstance(action, str) and action.startswith("220"):
                self.start_tls()
        elif verb == b"AUTH":
            self.act("auth", Connection.log_in)
        elif verb == b"MAIL":
            self.sender, self.recipient = line, None
            self.act("mail")
            if self.said[:1] in ("4", "5"):
                self.sender = None
        elif verb == b"RCPT":
            if self.sender is None and self.server.in_order:
                self.reply("503 5.5.1 need MAIL command")
                return
            self.recipient = line
            self.server.transactions.append((self.sender, line))
            self.act("rcpt")
            if self.said[:1] in ("4", "5"):
                self.recipient = None
        elif verb == b"DATA":
            if self.recipient is None and self.server.in_order:
                self.reply("503 5.5.1 need RCPT command")
                return
            self.act("data")
            if self.said.startswith("354"):
                self.take_content()
        elif verb == b"RSET":
            self.sender = self.recipient = None
            self.act("rset")
        elif verb == b"QUIT":
            self.act("quit")
            raise Ended
        else:
            self.reply("250 2.0.0 Ok" if verb == b"NOOP" else "500 5.5.2 unknown")

    def capabilities(self, verb):
        if verb == b"HELO":
            return "250 scripted"
        offered = list(self.server.offers)
        if self.server.security == "starttls" and self.socket is self.tcp:
            offered.append("STARTTLS")
        if self.server.auth and (self.server.security != "starttls" or self.socket is not self.tcp):
            offered.append("AUTH " + self.server.auth)
        return ["250 scripted"] + ["250 " + word for word in offered]

    def log_in(self):
        words = self.commands[-1].split(" ")
        mechanism = words[1].upper()
        if mechanism == "LOGIN":
            user = base64.b64decode(words[2]) if len(words) > 2 else self.challenge("VXNlcm5hbWU6")
            self.login = (mechanism, user.decode(), self.challenge("UGFzc3dvcmQ6").decode())
        else:
            answer = base64.b64decode(words[2]) if len(words) > 2 else self.challenge("")
            if mechanism == "PLAIN":
                _, user, secret = answer.split(b"\0")
            else:  # user=U^Aauth=Bearer T^A^A
                user, secret = answer.split(b"\1")[0][5:], answer.split(b"\1")[1][12:]
            self.login = (mechanism, user.decode(), secret.decode())
        good = self.server.credentials is None or self.login[1:] == self.server.credentials
        self.reply("235 2.7.0 Authentication successful" if good else "535 5.7.8 Error: authentication failed")

    def challenge(self, text):
        self.reply("334 " + text)
        return base64.b64decode(self.read_line())

    def take_content(self):
        if self.server.script["content"] is not None:
            while not self.buffer:
                self.receive()
            self.act("content")
        chunks, tail = [], b"\r\n"
        while True:
            data, self.buffer = self.buffer, b""
            chunks.append(data)
            tail = (tail + data)[-5:]
            if tail.endswith(b"\r\n.\r\n"):
                break
            try:
                self.receive()
            except Ended:
                self.content = b"".join(chunks)
                raise
        content = b"".join(chunks)
        self.content, self.dot_seen = content[:-3], True
        self.served += 1
        action = self.server.script["dot"]
        if isinstance(action, str) and action.startswith("2"):
            self.server.messages.append(self.unstuffed())
            self.server.taken.append((self.recipient, self.unstuffed()))
        self.act("dot")

    def unstuffed(self):
        return (b"\r\n" + self.content).replace(b"\r\n.", b"\r\n")[2:]


class ScriptedTpsp:
    """security: none, starttls, tls; chain and key: PEM files; credentials: the (user, secret) that is accepted, None: any.

    tickets: "reused" (the ticket keys stay), "forgotten" (every connection has new ones), "none"; tls: the highest version.
    in_order: RCPT and DATA are refused without a MAIL and a RCPT that were accepted, as servers do.
    small_window: TCP takes little more than 1 kB from a client while the server does not read.
    """

    def __init__(self, security="none", chain=None, key=None, host="127.0.0.1", port=0, auth="PLAIN LOGIN XOAUTH2", credentials=None,
                 offers=("SIZE 104857600", "8BITMIME", "SMTPUTF8", "PIPELINING", "CHUNKING", "ENHANCEDSTATUSCODES", "DSN"),
                 tickets="reused", tls=ssl.TLSVersion.TLSv1_3, small_window=False, in_order=True,
                 **script):
        unknown = set(script) - set(DEFAULTS)
        if unknown:
            raise TypeError(f"no stages {unknown}")
        self.script = {**DEFAULTS, **script}
        self.security, self.chain, self.key, self.tls = security, chain, key, tls
        self.auth, self.credentials, self.offers, self.tickets = auth, credentials, offers, tickets
        self.in_order = in_order
        self.connections, self.transactions, self.messages, self.taken = [], [], [], []
        self.ending = threading.Event()
        self.context = None
        self.listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        if small_window:  # the least that Linux grants; what is accepted inherits it
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        self.host, self.port = self.listener.getsockname()[:2]
        self.threads = [threading.Thread(target=self.serve, daemon=True)]

    def tls_context(self):
        if self.context is None or self.tickets == "forgotten":
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(self.chain, self.key)
            self.context.maximum_version = self.tls
            if self.tickets == "none":
                self.context.num_tickets = 0
                self.context.options |= ssl.OP_NO_TICKET
        return self.context

    def serve(self):
        while not self.ending.is_set():
            try:
                tcp, _ = self.listener.accept()
            except OSError:
                return
            tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(self, tcp)
            self.connections.append(connection)
            thread = threading.Thread(target=connection.run, daemon=True)
            self.threads.append(thread)
            thread.start()

    def wait_connection(self, number=0, timeout=240):
        """The connection of that number, after its end."""
        end = time.monotonic() + timeout
        while len(self.connections) <= number and time.monotonic() < end:
            time.sleep(0.01)
        assert self.connections[number].ended.wait(max(0, end - time.monotonic())), "the connection did not end"
        return self.connections[number]

    def __enter__(self):
        self.threads[0].start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in self.connections:
            connection.interrupt()
            connection.close()
        for thread in self.threads:
            thread.join(5)
