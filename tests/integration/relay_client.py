"""Runs relay_probe: one message through relay_send(), its result as a dictionary."""
import json
import subprocess
from pathlib import Path

from sendpost import build_directory

MESSAGE = (b"From: a@example.com\r\nTo: b@example.net\r\nDate: Mon, 23 Nov 2026 05:00:00 +0000\r\n"
           b"Message-Id: <1@example.com>\r\nSubject: probe\r\n\r\nhello\r\n")
PATIENT = {"connect_timeout": 20000, "command_timeout": 20000, "deadline": 120000}  # with who answers, however late
SILENT_SECONDS = (1, 2, 4, 8, 16)  # with who will say nothing: longer where a busy machine was late before that


def patience(seconds):
    return {**PATIENT, "connect_timeout": 1000 * seconds, "command_timeout": 1000 * seconds}


class Relay:
    """Sends to server (anything with host and port) with the options of relay_probe as keyword arguments."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.program = build_directory() / "tests/integration/relay_probe"

    def secret(self, name, text):
        path = self.directory / name
        path.write_text(text + "\n")
        return path

    def command(self, server, message=MESSAGE, sender="s@example.com", recipient="r@example.net", password=None, token=None,
                **options):
        path = self.directory / "message"
        path.write_bytes(message)
        if password is not None:
            options["password_file"] = self.secret("password", password)
        if token is not None:
            options["oauth_token_file"] = self.secret("token", token)
        options = {"host": server.host, "port": server.port, "security": getattr(server, "security", "none"), **options}
        words = [str(self.program)]
        for name, value in options.items():
            if value is True:
                words.append("--" + name.replace("_", "-"))
            elif value is not None and value is not False:
                words += ["--" + name.replace("_", "-"), str(value)]
        return [*words, sender, recipient, str(path)]

    def __call__(self, server, wrapper=(), timeout=240, **options):
        done = subprocess.run([*wrapper, *self.command(server, **options)], capture_output=True, timeout=timeout, check=False)
        lines = done.stdout.decode().splitlines()
        assert lines and done.returncode in (0, 1), (done.returncode, done.stderr.decode(errors="replace"))
        results = [json.loads(line) for line in lines]
        for result in results:
            result["trace"] = done.stderr.decode(errors="replace")
            # whatever happened: success is never claimed without the record, and the record never without success
            assert (result["class"] == "delivered") == result["accepted_called"], result
        return results[0] if len(results) == 1 else results

    def in_vain(self, server, stage, cause, **options):
        """To a server that falls silent at this stage, of which this is the cause of a failure, and at no earlier one."""
        for seconds in SILENT_SECONDS:
            result = self(server, **{**patience(seconds), **options})
            if (result["stage"], result["cause"]) == (stage, cause) or "Timeout" not in result["text"]:
                break
        return result
