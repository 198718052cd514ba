"""Work until a file appears: what a rolling replacement must not be noticed by."""

import os
import threading
import time

import pymongo

PAUSE = 0.005


class Tally:
    """What the workers of one target did."""

    def __init__(self, name):
        self.line = {"target": name, "operations": 0, "errors": {}, "slowestMs": 0}
        self.line.update(inserted=0, increments=0, many=0, pairs=0)
        self.lock = threading.Lock()

    def attempt(self, what, work, counts=None, by=1):
        start = time.monotonic()
        error = None
        try:
            work()
        except Exception as caught:  # whatever it is, the application saw it
            error = f"{what}: {type(caught).__name__}: {caught}"[:300]
        took = round((time.monotonic() - start) * 1000)
        with self.lock:
            self.line["operations"] += 1
            self.line["slowestMs"] = max(self.line["slowestMs"], took)
            if error is not None:
                self.line["errors"][error] = self.line["errors"].get(error, 0) + 1
            elif counts:
                self.line[counts] += by


def found(things, which):
    if things.find_one({"_id": which}) is None:
        raise AssertionError("not found")


def batches(things):
    if len(list(things.find({}, limit=7, batch_size=2))) > 7:
        raise AssertionError("too many")


def pair(client, pairs, which):
    def body(session):
        pairs.insert_one({"_id": which + "-a"}, session=session)
        pairs.insert_one({"_id": which + "-b"}, session=session)

    with client.start_session() as session:
        session.with_transaction(body)


def worker(client, database, name, tally, stop):
    db = client[database]
    counter = {"_id": name}
    db.counters.insert_one({**counter, "one": [], "many": []})
    n = 0
    while not os.path.exists(stop):
        which = f"{name}-{n}"
        tally.attempt("insert", lambda: db.things.insert_one({"_id": which}), "inserted")
        tally.attempt("find", lambda: found(db.things, which))
        tally.attempt("update", lambda: db.counters.update_one(counter, {"$push": {"one": n}}), "increments")
        if n % 3 == 0:
            tally.attempt("updateMany", lambda: db.counters.update_many(counter, {"$push": {"many": n}}), "many")
        elif n % 3 == 1:
            tally.attempt("cursor", lambda: batches(db.things))
        else:
            tally.attempt("transaction", lambda: pair(client, db.pairs, which), "pairs", 2)
        n += 1
        time.sleep(PAUSE)


def run(plan):
    threads, tallies, clients = [], [], []
    for target in plan["targets"]:
        client = pymongo.MongoClient(target["uri"])
        tally = Tally(target["name"])
        for number in range(plan["workers"]):
            name = f"{target['name']}-{number}"
            arguments = (client, plan["database"], name, tally, plan["stop"])
            threads.append(threading.Thread(target=worker, args=arguments))
        tallies.append(tally)
        clients.append(client)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for client in clients:
        client.close()
    return [tally.line for tally in tallies]
