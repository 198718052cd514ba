"""Many threads at once. Arguments: how many, and how many rounds each.

Every thread writes and reads documents that carry its own number: a reply that
reached the wrong thread shows. A shared counter shows lost and doubled writes.
Errors are counted by name, not raised, so the same script serves fault tests.
"""

import collections
import threading
import time

import pymongo

from common import database, equal, main


def run(uri, threads, rounds):
    threads, rounds = int(threads), int(rounds)
    errors = collections.Counter()
    wrong = []
    done = collections.Counter()
    slowest = [0.0]

    with database(uri, maxPoolSize=threads) as (_, db):
        db.create_collection("counters")
        db.counters.insert_one({"_id": "shared", "n": 0})

        def work(me):
            for step in range(rounds):
                started = time.monotonic()
                try:
                    own = {"_id": me * rounds + step, "me": me, "pad": str(me) * (step % 50)}
                    db.own.insert_one(own)
                    found = db.own.find_one({"_id": own["_id"]})
                    if found != own:
                        wrong.append((own, found))
                    db.counters.update_one({"_id": "shared"}, {"$inc": {"n": 1}})
                    done["rounds"] += 1
                except pymongo.errors.PyMongoError as error:
                    errors[f"{type(error).__name__} {getattr(error, 'code', None)}"] += 1
                slowest[0] = max(slowest[0], time.monotonic() - started)

        workers = [threading.Thread(target=work, args=(n,)) for n in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        equal(wrong, [], "replies of somebody else")
        counted = db.counters.find_one({"_id": "shared"})["n"]
    return {
        "rounds": done["rounds"],
        "counted": counted,
        "errors": dict(errors),
        "slowest_ms": round(slowest[0] * 1000),
    }


main(run)
