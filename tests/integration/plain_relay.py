"""Deliveries by hand to servers without TLS and login, where the test is about something else."""
MESSAGE = b"From: sender@example.com\nTo: user@example.com\nSubject: rates\n\nbody\n"


def entry(server, name="primary", **settings):
    port = server if isinstance(server, int) else server.port
    return {"name": name, "id": 12, "host": "127.0.0.1", "port": port, "security": "none", "auth": "none",
            "max-rate-per-hour": 0, **{key.replace("_", "-"): value for key, value in settings.items()}}


def send(site, recipient="user@example.com", *options, message=MESSAGE, **how):
    done = site.run("-f", "sender@example.com", *options, "--", recipient, message=message, **how)
    return done.returncode, done.stdout.decode()
