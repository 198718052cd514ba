"""A function as teams write it: one client, made when the module is loaded."""

import os
import time

from pymongo import MongoClient

client = MongoClient(os.getenv("MONGO_AUTH_CREDENTIALS"))
if os.getenv("QUERY_IN_INIT"):
    client.lambda_functions.python.insert_one({"in": "init"})


def handler(event, context):
    began = time.perf_counter()
    what = event.get("do", "insert")
    things = client.lambda_functions.python
    answer = {"uri": os.environ["MONGO_AUTH_CREDENTIALS"], "pid": os.getpid()}
    if what == "insert":
        things.insert_one({"request": context.aws_request_id, "mark": event.get("mark")})
    elif what == "count":
        answer["count"] = things.count_documents({"mark": event["mark"]})
    elif what == "slow":
        # Longer than the function may take.
        list(things.aggregate([{"$limit": 1}, {"$set": {"slow": {"$function": {
            "body": "function() { sleep(%d); return 1; }" % event["ms"],
            "args": [], "lang": "js"}}}}]))
    elif what == "sleep":
        time.sleep(event["ms"] / 1000)
    elif what == "crash":
        os._exit(3)
    answer["ms"] = (time.perf_counter() - began) * 1000
    return answer
