"""Read and write what Grafana would, then answer its health check."""

from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

for folder in ("/etc/grafana/provisioning", "/var/lib/grafana/dashboards"):
    files = [path for path in Path(folder).rglob("*") if path.is_file()]
    print(folder, sum(len(path.read_bytes()) for path in files), "bytes in", len(files), "files")
Path("/var/lib/grafana/grafana.db").write_text("")


class Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/api/health" else 404)
        self.end_headers()


HTTPServer(("0.0.0.0", 3000), Health).serve_forever()
