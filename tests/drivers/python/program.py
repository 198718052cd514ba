"""What an application does with PyMongo, feature by feature; see ../README.md."""

import json
import os
import sys
import threading
import time
import traceback

import pymongo

import basics
import connect
import load
import probe
import reading
import endpoints
import rolling
import writing
from common import NotApplicable, Plan

LIMIT = 30
FEATURES = {**basics.FEATURES, **writing.FEATURES, **reading.FEATURES, **endpoints.FEATURES}


def say(line):
    print(json.dumps(line), flush=True)


def outcome(feature, work, plan):
    """Runs one feature in a thread of its own, because its limit must hold."""
    done = {}

    def run():
        try:
            work(plan)
            done["result"] = "pass"
        except NotApplicable as reason:
            done.update(result="n/a", reason=str(reason))
        except Exception as error:  # whatever it is, it is this feature's failure
            traceback.print_exc(file=sys.stderr)
            where = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{where.filename.rsplit('/', 1)[-1]}:{where.lineno}"
            done.update(result="fail", reason=f"{type(error).__name__}: {error} ({place})"[:600])

    start = time.monotonic()
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(LIMIT)
    result = dict(done) if not thread.is_alive() else {"result": "fail", "reason": "took longer than 30 s"}
    return {"feature": feature, "ms": round((time.monotonic() - start) * 1000), **result}


def features(plan):
    with pymongo.MongoClient(plan.uri) as client:
        client.drop_database(plan.database)
        for feature in plan.features or FEATURES:
            work = FEATURES.get(feature)
            if work is None:
                say({"feature": feature, "result": "fail", "reason": "the program has no such feature"})
            else:
                say(outcome(feature, work, plan))
        client.drop_database(plan.database)


def main():
    plan = json.load(sys.stdin)
    if plan["mode"] == "probe":
        for case in plan["cases"]:
            say(probe.run(case))
    elif plan["mode"] == "connect":
        for case in plan["cases"]:
            say(connect.run(case))
    elif plan["mode"] == "rolling":
        for line in rolling.run(plan):
            say(line)
    elif plan["mode"] == "load":
        load.run(plan, say)
    else:
        features(Plan(plan))
    # A thread beyond its limit must not hold up the end.
    os._exit(0)


main()
