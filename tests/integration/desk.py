"""sendpostctl test, on a configuration with one TPSP."""
import json
import subprocess

from sendpost import build_directory
from support import scratch
from tpsp import PASSWORD, USERNAME

CTL = build_directory() / "sendpostctl"


def impatient(seconds=2):
    """For who is to wait in vain."""
    return {"connect_timeout": f"{seconds}s", "command_timeout": f"{seconds}s"}


class Desk:
    def __init__(self, ca):
        self.top, self.ca = scratch("spct-"), ca

    def run(self, *arguments, password=PASSWORD, **settings):
        (self.top / "password").write_text(password + "\n")
        (self.top / "password").chmod(0o600)
        tpsp = {"name": "primary", "host": "localhost", "tls-ca-path": str(self.ca.hashed), "connect-timeout": "20s",
                "command-timeout": "20s", "username": USERNAME, "password-file": str(self.top / "password")}
        tpsp.update({key.replace("_", "-"): value for key, value in settings.items()})
        tree = {"account-id": 1, "subaccount-id": 2, "state-dir": str(self.top), "endpoint": "none", "tpsps": [tpsp]}
        (self.top / "config.yaml").write_text(json.dumps(tree))
        done = subprocess.run([str(CTL), "-c", str(self.top / "config.yaml"), "test", *arguments], capture_output=True, text=True,
                              check=False, timeout=240)
        assert password not in done.stdout + done.stderr
        return done

    def test(self, *arguments, **settings):
        done = self.run("--json", *arguments, **settings)
        (result,) = json.loads(done.stdout)
        assert done.returncode == (0 if result["ok"] else 1)
        assert result["tpsp"] == "primary"
        return result

    def test_in_vain(self, stage, *arguments, **settings):
        """A server that falls silent at this stage, and at no earlier one, though a busy machine may have it so."""
        for seconds in (2, 4, 8, 16):
            result = self.test(*arguments, **impatient(seconds), **settings)
            if result["stage"] == stage or result["error"] != "Timeout":
                break
        return result


def stages(result):
    """The stages gone through; an address where nobody listens (::1, as many machines know localhost by) is no stage."""
    return [step["stage"] for step in result["steps"] if step["ok"] or step["stage"] != "connect"]


def expect(result, error, stage, advice, code=None):
    assert not result["ok"]
    assert (result["error"], result["stage"]) == (error, stage), result
    assert advice in result["advice"], result
    assert result.get("smtp_code") == code
    assert result["steps"][-1]["stage"] in (stage, "quit")
    assert [step["ok"] for step in result["steps"] if step["stage"] == stage][-1] is False
