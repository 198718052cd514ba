"""The demo's worker before a server that refuses every connection.

Arguments: the worker's script. The server accepts and closes, as mongod does
at its limit. The worker must become ready all the same, count what was
refused, and go on to the exam.
"""

import json
import socket
import subprocess
import sys
import threading


def refuse(listener):
    while True:
        try:
            listener.accept()[0].close()
        except OSError:
            return


def main():
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=refuse, args=(listener,), daemon=True).start()
    student = ["student-1", 0.0, [0.0] * 8, [0] * 5]
    plan = {
        "uri": "mongodb://127.0.0.1:%d/?connectTimeoutMS=2000" % listener.getsockname()[1],
        "database": "quiz",
        "quiz": "quiz",
        "threads": 4,
        "patience": 2.0,
        "students": [student],
    }
    worker = subprocess.Popen(
        [sys.executable, sys.argv[1]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    seen = {"ready": 0, "refused": 0, "gave_up": 0}

    def tell(line):
        worker.stdin.write(line + "\n")
        worker.stdin.flush()

    def wait_for(what, enough):
        while seen[what] < enough:
            line = worker.stdout.readline()
            assert line, "the worker ended: %s" % seen
            news = json.loads(line)
            for name in seen:
                seen[name] += int(news.get(name, 0))

    tell(json.dumps(plan))
    wait_for("ready", 1)
    tell("start")
    wait_for("ready", 2)
    tell("begin")
    wait_for("gave_up", 1)
    worker.stdin.close()
    worker.wait(10)
    assert seen["refused"] > 0, seen
    print(json.dumps(seen))


main()
