"""Real Valkey or Redis servers on loopback, as a cluster of senders shares them."""
import os
import shutil
import socket
import subprocess

from support import TOP, free_port, remove, run, scratch, wait_for

PROGRAM = os.environ.get("SENDPOST_VALKEY") or shutil.which("valkey-server") or shutil.which("redis-server")


class ValkeyServer:
    def __init__(self, *options, port=None, clock=False):
        self.directory = scratch("spvk-")
        self.port = port or free_port()
        self.options = [str(option) for option in options]
        self.process = None
        self.clock_file = self.directory / "clock" if clock else None
        if clock:
            self.step_clock("0")
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
        remove(self.directory)

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def start(self):
        environment = dict(os.environ)
        if self.clock_file:
            shim = self.directory / "step_clock.so"
            run("gcc", "-shared", "-fPIC", "-O2", "-o", shim, TOP / "tests/integration/step_clock.c")
            environment |= {"LD_PRELOAD": str(shim), "CLOCK_OFFSET_FILE": str(self.clock_file)}
        self.process = subprocess.Popen(
            [PROGRAM, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(self.directory),
             "--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0", *self.options],
            stdout=(self.directory / "log").open("ab"), stderr=subprocess.STDOUT, env=environment)
        wait_for(lambda: self.is_ready(), "the server on loopback")

    def is_ready(self):
        try:
            return self.command("PING").startswith(("+PONG", "-NOAUTH"))
        except OSError:
            return False

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def restart_empty(self):
        self.kill()
        self.start()

    def step_clock(self, offset):
        self.clock_file.write_text(f"{offset}\n")

    def command(self, *words, password=None):
        """The first line of the reply."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            stream = connection.makefile("rwb")
            for line in ([("AUTH", password)] if password else []) + [words]:
                stream.write(b"*%d\r\n" % len(line) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in (str(w).encode() for w in line)))
                stream.flush()
                reply = stream.readline().decode().rstrip("\r\n")
            if reply.startswith("$") and reply != "$-1":
                return stream.read(int(reply[1:])).decode()
            return reply

    def keys(self):
        return int(self.command("DBSIZE")[1:])
