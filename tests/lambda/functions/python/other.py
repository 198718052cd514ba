#!/usr/bin/env python3
"""An extension of somebody else's: it dies at its second invocation, but only once."""

import http.client
import json
import os
import pathlib
import sys

died = pathlib.Path(os.environ["OTHER_DIED"])
who = {"Lambda-Extension-Name": os.path.basename(sys.argv[0])}


def call(method, path, body=None):
    api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    api.request(method, "/2020-01-01/extension/" + path, body, who)
    answer = api.getresponse()
    return answer.headers, json.loads(answer.read())


headers, _ = call("POST", "register", json.dumps({"events": ["INVOKE", "SHUTDOWN"]}))
who = {"Lambda-Extension-Identifier": headers["Lambda-Extension-Identifier"]}
invocations = 0
while True:
    _, event = call("GET", "event/next")
    if event["eventType"] == "SHUTDOWN":
        break
    invocations += 1
    if invocations == 2 and not died.exists():
        died.touch()
        sys.exit(1)
