"""A function as teams write it: one client, made when the module is loaded."""

import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from pymongo import MongoClient

client = MongoClient(os.getenv("MONGO_AUTH_CREDENTIALS"))


def handler(event, context):
    began = time.perf_counter()
    what = event.get("do", "insert")
    things = client.lambda_functions.python
    answer = {"uri": os.environ["MONGO_AUTH_CREDENTIALS"], "pid": os.getpid()}
    if what == "insert":
        things.insert_one({"request": context.aws_request_id, "mark": event.get("mark")})
    elif what == "many":
        with ThreadPoolExecutor(event["times"]) as workers:
            for n in range(event["times"]):
                workers.submit(things.insert_one, {"n": n, "mark": event["mark"]})
        answer["count"] = things.count_documents({"mark": event["mark"]})
    elif what == "count":
        answer["count"] = things.count_documents({"mark": event["mark"]})
    elif what == "sleep":
        time.sleep(event["ms"] / 1000)
    elif what == "crash":
        os._exit(3)
    answer["ms"] = (time.perf_counter() - began) * 1000
    return answer


def end(_signal, _frame):
    """Lambda tells the function only where an extension is attached, and ends that after it."""
    client.lambda_functions.python.insert_one({"mark": os.getenv("MARK_OF_THE_END")})
    sys.exit(0)


if os.getenv("MARK_OF_THE_END"):
    signal.signal(signal.SIGTERM, end)
