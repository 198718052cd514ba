"""One life of the extension before a script of Lambda's Extensions API: register, next, SHUTDOWN.

lambda.py COMMAND...   ends with 1 and a line when the extension does not do as Lambda wants it.
"""

import http.server
import os
import socket
import subprocess
import sys
import tempfile

STARTED_WITHIN, ENDED_WITHIN = 20, 5
NAME = "weir-extension"  # Lambda registers an extension by the name of its file.
calls, served = [], []


def free_port():
    # Below those that the system gives to outgoing connections, which could take it meanwhile.
    for port in range(20000 + os.getpid() % 10000, 32768):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    sys.exit("no free port")


class Lambda(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        calls.append(f"{self.path} {self.headers.get('Lambda-Extension-Name')}")
        # It listens before it registers: Lambda starts the function afterwards.
        with socket.socket() as driver:
            driver.settimeout(1)
            served.append(driver.connect_ex(("127.0.0.1", listen)) == 0)
        self.answer(b'{"functionName":"check","functionVersion":"1","handler":"h"}')

    def do_GET(self):
        calls.append(f"{self.path} {self.headers.get('Lambda-Extension-Identifier')}")
        self.answer(b'{"eventType":"SHUTDOWN","shutdownReason":"spindown","deadlineMs":1}')

    def answer(self, body):
        self.send_response(200)
        self.send_header("Lambda-Extension-Identifier", "id-1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


listen, nobody = free_port(), socket.socket()
nobody.bind(("127.0.0.1", 0))  # and never listens: the database is not there
api = http.server.HTTPServer(("127.0.0.1", 0), Lambda)
api.timeout = STARTED_WITHIN
variables = {
    "PATH": os.environ["PATH"],
    "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{api.server_port}",
    "WEIR_LISTEN": f"127.0.0.1:{listen}",
    "WEIR_UPSTREAM": f"mongodb://127.0.0.1:{nobody.getsockname()[1]}/",
}
with tempfile.TemporaryFile("w+") as log:
    extension = subprocess.Popen(sys.argv[1:], env=variables, stdout=log, stderr=log)
    try:
        for _ in range(2):
            api.handle_request()
        code = extension.wait(ENDED_WITHIN)
    except subprocess.TimeoutExpired:
        code = f"none within {ENDED_WITHIN} s"
    finally:
        extension.kill()
        extension.wait()
    log.seek(0)
    said = log.read()
wanted = [f"/2020-01-01/extension/register {NAME}", "/2020-01-01/extension/event/next id-1"]
if (calls, served, code) != (wanted, [True], 0):
    sys.exit(f"calls {calls}, it listened {served}, exit code {code}\n{said}")
