"""nginx as the event API: the server that a real one is likely to stand behind. One directory, one process tree."""
import json
import os
import shutil
import subprocess

from support import end_process, free_port, listens, remove, scratch, wait_for

PATH = "/api/v1/tpsp/custom-smtp/events"


class Nginx:
    """location: directives for the API's path. server: for the whole server."""

    def __init__(self, ca, location="return 202;", server="", workers=1):
        self.top, self.port = scratch("spngx-"), free_port()
        self.url = f"https://localhost:{self.port}{PATH}"
        certificate, key = ca.issue("localhost")
        for source, name in ((certificate, "server.pem"), (key, "server.key")):
            shutil.copy(source, self.top / name)  # another server may get a new one meanwhile
        user = "user root;" if os.geteuid() == 0 else ""
        (self.top / "nginx.conf").write_text(f"""
            daemon off; {user} worker_processes {workers}; pid {self.top}/nginx.pid; error_log {self.top}/error.log;
            events {{ worker_connections 4096; }}
            http {{
                log_format asked escape=json '{{"status":$status,"protocol":"$server_protocol","key":"$http_x_sp_event_apikey",'
                    '"expect":"$http_expect","tls":"$ssl_protocol","type":"$content_type","on_connection":$connection_requests,'
                    '"length":"$content_length"}}';
                access_log {self.top}/access.log asked;
                client_body_temp_path {self.top}/body; proxy_temp_path {self.top}/proxy; fastcgi_temp_path {self.top}/fastcgi;
                uwsgi_temp_path {self.top}/uwsgi; scgi_temp_path {self.top}/scgi;
                server {{
                    listen 127.0.0.1:{self.port} ssl backlog=4096; server_name localhost;
                    ssl_certificate {self.top}/server.pem; ssl_certificate_key {self.top}/server.key;
                    {server}
                    location = {PATH} {{ {location} }}
                }}
            }}""")
        self.process = subprocess.Popen([shutil.which("nginx") or "/usr/sbin/nginx", "-p", self.top, "-c",
                                         self.top / "nginx.conf"], stderr=subprocess.PIPE)
        try:
            wait_for(lambda: self.process.poll() is not None or listens(self.port), "nginx", timeout=240)
            if self.process.poll() is not None:
                raise RuntimeError(self.process.stderr.read().decode())
        except BaseException:
            self.close()
            raise

    def asked(self):
        """What was asked, a dictionary each."""
        return [json.loads(line) for line in (self.top / "access.log").read_text().splitlines()]

    def close(self):
        if self.process.poll() is None:
            end_process(self.process.pid)
        self.process.wait()
        self.process.stderr.close()
        remove(self.top)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
