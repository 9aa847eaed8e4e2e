"""A TPSP that counts: how many connections it has at a time, at most, as its kernel saw them begin and end. One thread, so that
an end that came before a beginning is counted before it."""
import selectors
import socket
import threading
import time


class CountingTpsp:
    def __init__(self, takes=0):
        """takes: seconds until it answers a message. One deliverer serves all who come to a TPSP that answers at once."""
        self.takes, self.later = takes, []  # when, to whom
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]
        self.most = self.connections = self.messages = 0
        self.ending = threading.Event()
        self.sessions = {}  # socket: [bytes that are no whole command yet, within the content]
        self.thread = threading.Thread(target=self.serve)

    def serve(self):
        with selectors.DefaultSelector() as selector:
            selector.register(self.listener, selectors.EVENT_READ)
            while not self.ending.is_set():
                ready = [key.fileobj for key, _ in selector.select(0.01 if self.later else 0.1)]
                while self.later and self.later[0][0] <= time.monotonic():
                    self.say(self.later.pop(0)[1], "250 2.0.0 Ok: queued as COUNTED")
                # ends first; and those that came while we looked at the list
                for peer in [peer for peer in self.sessions if peer in ready] if self.listener not in ready else list(self.sessions):
                    if not self.hear(peer):
                        selector.unregister(peer)
                        del self.sessions[peer]
                        peer.close()
                if self.listener in ready:
                    peer, _ = self.listener.accept()
                    peer.setblocking(False)
                    self.sessions[peer] = [b"", False]
                    self.connections += 1
                    self.most = max(self.most, len(self.sessions))
                    selector.register(peer, selectors.EVENT_READ)
                    self.say(peer, "220 counting ESMTP")
            for peer in self.sessions:
                peer.close()

    @staticmethod
    def say(peer, text):
        try:
            peer.send(text.encode() + b"\r\n")
        except OSError:
            pass  # it has gone, and will be read so

    def hear(self, peer):
        """False when the connection is over."""
        session = self.sessions[peer]
        try:
            data = peer.recv(65536)
        except BlockingIOError:
            return True
        except OSError:
            return False
        session[0] += data
        while True:
            end = b"\r\n.\r\n" if session[1] else b"\r\n"
            unit, found, rest = session[0].partition(end)
            if not found:
                return bool(data)
            session[0] = rest
            if session[1]:
                session[1] = False
                self.messages += 1
                self.later.append((time.monotonic() + self.takes, peer))
            elif unit.upper().startswith(b"DATA"):
                session[1] = True
                self.say(peer, "354 go on")
            elif unit.upper().startswith(b"QUIT"):
                self.say(peer, "221 2.0.0 Bye")
                return False
            else:
                self.say(peer, "250 2.0.0 Ok")

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.thread.join()
        self.listener.close()
