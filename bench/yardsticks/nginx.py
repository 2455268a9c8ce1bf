"""nginx with a static bearer token, a request limit and a proxied upstream: the least a gateway can do."""

import contextlib
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from bench.rig.meter import Meter, tree
from bench.rig.process import free_port, running
from bench.rounds import Target

TOKEN = "static-token-of-the-yardstick"
_CONFIG = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 100000000;
  limit_req_zone $http_authorization zone=callers:10m rate=1000000r/s;
  upstream echo {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    location / {{
      if ($http_authorization != "Bearer {token}") {{ return 401; }}
      limit_req zone=callers burst=100000 nodelay;
      proxy_pass http://echo;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
    }}
  }}
}}
"""


def missing() -> str:
    """Why there is no such yardstick here, or an empty string."""
    return "" if shutil.which("nginx") else "nginx is not on PATH (Debian: apt install nginx)"


@contextlib.contextmanager
def start(upstream: int, folder: Path) -> Iterator[Target]:
    """nginx before the server on port `upstream`, until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    file = folder / "nginx.conf"
    file.write_text(_CONFIG.format(folder=folder, port=port, upstream=upstream, token=TOKEN))
    command = ["nginx", "-p", str(folder), "-c", str(file), "-e", str(folder / "error.log")]
    with running(command, port, folder / "nginx.log") as program:
        while len(tree(program.pid)) < 2:  # the port is open before the worker, which does the work, is there
            time.sleep(0.01)
        yield Target("nginx", port, "/mcp", (TOKEN,), Meter.of(program.pid))
