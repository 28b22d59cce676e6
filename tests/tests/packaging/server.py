"""A web server of bundles, and a proxy, for tests: honest below /plain, each other folder lies in its own way.

server.py FOLDER LOG [CERTIFICATE]: serves the files of FOLDER on port 8000, on 8443 with TLS, and is a proxy on port 3128. Each
request is a line of LOG.
"""

import base64
import http.server
import os
import select
import socket
import ssl
import sys
import threading
import time
import urllib.parse
import urllib.request

FOLDER, LOG = sys.argv[1:3]
CERTIFICATE = sys.argv[3] if len(sys.argv) > 3 else None


def log(line):
    with open(LOG, "a") as file:
        file.write(line + "\n")


class Server(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def begin(self, status, length=None, **headers):
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.send_header("Connection", "close")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def page(self, names):
        links = "".join(f'<li><a href="{urllib.parse.quote(name)}">{name}</a>\n' for name in names)
        page = f"<html><body><ul>{links}</ul></body></html>".encode()
        self.begin(200, len(page), Content_Type="text/html")
        self.wfile.write(page)

    def do_GET(self):
        names = " ".join(sorted(name.lower() for name in self.headers))
        log(f"{self.command} {self.path} | {names} | {self.headers.get('Authorization', '-')}")
        if self.path.startswith("http://"):
            return self.forward(self.path)
        if self.path.startswith("/token?"):
            return self.send(b'{"token":"t0ken"}')
        if self.path.startswith("/v2/"):
            return self.registry()
        _, mode, name = self.path.split("/", 2)
        name = urllib.parse.unquote(name)
        files = sorted(os.listdir(FOLDER))
        try:
            with open(os.path.join(FOLDER, os.path.basename(name)), "rb") as file:
                content = file.read()
        except OSError:
            content = None
        answer = getattr(self, "answer_" + mode.replace("-", "_"), None)
        try:
            if answer is None:
                self.begin(404, 0)
            elif answer(name, content, files) is None:
                if not name:
                    self.page(files)
                elif content is None:
                    self.begin(404, 0)
                else:
                    self.begin(200, len(content))
                    self.wfile.write(content)
        except OSError:
            log("closed by the client")

    def answer_plain(self, name, content, files):
        pass

    def answer_drip(self, name, content, files):
        if name:
            self.begin(200, len(content))
            for byte in content:
                self.wfile.write(bytes([byte]))
                time.sleep(1)
            return True

    def answer_drip_list(self, name, content, files):
        self.begin(200)
        while True:
            self.wfile.write(b"<")
            time.sleep(1)

    def answer_mute(self, name, content, files):
        time.sleep(60)
        return True

    def answer_endless(self, name, content, files):
        if name:
            self.begin(200)
            while True:
                self.wfile.write(bytes(1 << 20))

    def answer_endless_list(self, name, content, files):
        self.begin(200)
        while True:
            self.wfile.write(b'<a href="foo-1.0.dkms.tar">' * 4096)

    def answer_many(self, name, content, files):
        if not name:
            self.page([f"other-{number}.0-kernel6.1-x86_64.dkms.tar.gz" for number in range(100000)] + files)
            return True

    def answer_cut(self, name, content, files):
        if name:
            self.begin(200, len(content))
            self.wfile.write(content[: len(content) // 2])
            return True

    def answer_short(self, name, content, files):
        if name:
            self.begin(200)
            self.wfile.write(content[: len(content) // 2])
            return True

    def answer_to_file(self, name, content, files):
        if name:
            self.begin(302, 0, Location=f"file://{FOLDER}/{name}")
            return True

    def answer_to_http(self, name, content, files):
        self.begin(302, 0, Location=f"http://localhost:8000/plain/{name}")
        return True

    def answer_moved(self, name, content, files):
        self.begin(301, 0, Location=f"/plain/{urllib.parse.quote(name)}")
        return True

    def answer_elsewhere(self, name, content, files):
        self.begin(302, 0, Location=f"http://127.0.0.2:8000/plain/{urllib.parse.quote(name)}")
        return True

    def answer_loop(self, name, content, files):
        self.begin(302, 0, Location=self.path)
        return True

    def answer_names(self, name, content, files):
        if not name:
            odd = ["../" + files[0], "..%2f" + files[0], "foo-1.0\x1b[2J.dkms.tar", "foo-1.0-\n-x.dkms.tar", "/etc/foo-1.0.dkms.tar"]
            self.page(odd + files)
            return True

    def answer_gone(self, name, content, files):
        if name:
            self.begin(503, 0)
            return True

    def answer_missing(self, name, content, files):
        if name:
            self.begin(404, 0)
            return True

    def answer_sums(self, name, content, files):
        if name == "SHA256SUMS":
            text = "".join(f"{'0' * 64}  {file}\n" for file in files).encode()
            self.begin(200, len(text))
            self.wfile.write(text)
            return True
        if not name:
            self.begin(403, 0)
            return True

    def answer_login(self, name, content, files):
        wanted = "Basic " + base64.b64encode(b"user:p@ss").decode()
        if self.headers.get("Authorization") != wanted:
            self.begin(401, 0, WWW_Authenticate='Basic realm="x"')
            return True

    def answer_login_elsewhere(self, name, content, files):
        if self.answer_login(name, content, files):
            return True
        return self.answer_elsewhere(name, content, files)

    def send(self, content, **headers):
        self.begin(200, len(content), **headers)
        self.wfile.write(content)

    def ask(self, address):
        request = urllib.request.Request(address, headers={"Accept": self.headers.get("Accept", "*/*")})
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
            return answer.read(), answer.headers.get("Docker-Content-Digest")

    def forward(self, address):
        self.send(self.ask(address)[0])

    def registry(self):
        """A registry that wants a token, and gives what the one on port 5000 has; below `liar` with one byte changed."""
        if self.headers.get("Authorization") != "Bearer t0ken":
            realm = f'Bearer realm="http://{self.headers["Host"]}/token",service="here"'
            return self.begin(401, 0, WWW_Authenticate=realm)
        content, digest = self.ask("http://127.0.0.1:5000" + self.path.replace("/liar/", "/honest/"))
        if "/liar/blobs/" in self.path:
            content = content[:-1] + bytes([content[-1] ^ 1])
        if "/manifests/liar" in self.path:
            content = content + b" "
        headers = {"Docker_Content_Digest": digest} if digest else {}
        self.send(content, **headers)

    def do_CONNECT(self):
        log(f"CONNECT {self.path} | {self.headers.get('Proxy-Authorization', '-')}")
        host, port = self.path.rsplit(":", 1)
        with socket.create_connection((host, int(port))) as other:
            self.send_response(200)
            self.end_headers()
            ends = [self.connection, other]
            while True:
                for end in select.select(ends, [], [])[0]:
                    piece = end.recv(65536)
                    if not piece:
                        return
                    ends[ends[0] is end].sendall(piece)


def serve(port, certificate=None):
    http.server.ThreadingHTTPServer.daemon_threads = True
    server = http.server.ThreadingHTTPServer(("0.0.0.0", port), Server)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()


serve(8000)
serve(3128)
if CERTIFICATE:
    serve(8443, CERTIFICATE)
log("ready")
threading.Event().wait()
