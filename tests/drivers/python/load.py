"""Seven classes of work, again and again, and what the application saw of each operation."""

import os
import threading
import time

import pymongo
from pymongo import monitoring

from probe import code_of

# After the stop an operation may still take so long; then it counts as never answered.
PATIENCE = 45
# An event that has not come by then is lost.
EVENT_LIMIT = 60
ROWS = 50


class Wrong(Exception):
    """An answer that cannot be right."""


class Pool(monitoring.ConnectionPoolListener):
    """Connections made and pools cleared."""

    def __init__(self, say):
        self.say = say

    def pool_cleared(self, event):
        self.say({"pool": "cleared", "at": time.time() * 1000})

    def connection_created(self, event):
        self.say({"pool": "created", "at": time.time() * 1000})

    def ignore(self, event):
        pass

    pool_created = pool_ready = pool_closed = ignore
    connection_ready = connection_closed = ignore
    connection_check_out_started = connection_check_out_failed = ignore
    connection_checked_out = connection_checked_in = ignore


def described(error):
    """What an application sees: the driver's name for it and the server's code."""
    code = code_of(error)
    return type(error).__name__ + ("" if code is None else f" {code}")


class Load:
    def __init__(self, plan, say):
        self.plan = plan
        self.turn = threading.Lock()
        self.out = say
        self.client = pymongo.MongoClient(plan["uri"], event_listeners=[Pool(self.say)])
        self.database = self.client[plan["database"]]
        self.running = {}

    def say(self, line):
        with self.turn:
            self.out(line)

    def stopped(self):
        return os.path.exists(self.plan["stop"])

    def increment(self, kind, worker, number):
        """The ledger's update: which counter, and what is done to it."""
        counter = f"{self.plan['name']}-{kind}-{worker}-{number % self.plan['counters']}"
        change = {"$inc": {"n": 1}, "$push": {"applied": number}}
        return {"counter": counter, "number": number}, {"_id": counter}, change

    def work(self, kind, worker):
        act = getattr(self, kind)(worker)
        number = 0
        while not self.stopped():
            number += 1
            written, operate = act(number)
            line = {"class": kind, "at": time.time() * 1000, "error": None, **written}
            began = time.monotonic()
            self.running[kind, worker] = line, began
            try:
                operate()
            except (pymongo.errors.PyMongoError, Wrong) as error:
                line.update(error=described(error), message=str(error)[:200])
            line["ms"] = (time.monotonic() - began) * 1000
            del self.running[kind, worker]
            self.say(line)
            self.pause()

    def pause(self):
        time.sleep(self.plan["pause_ms"] / 1000)

    def PR(self, worker):
        """A read that the driver does not retry."""

        def act(number):
            find = {"find": "rows", "filter": {"_id": number % ROWS}, "singleBatch": True}
            return {}, lambda: one(self.database.command(find)["cursor"]["firstBatch"])

        return act

    def RD(self, worker):
        def act(number):
            return {}, lambda: one([self.database.rows.find_one({"_id": number % ROWS})])

        return act

    def RW(self, worker):
        def act(number):
            written, which, change = self.increment("RW", worker, number)
            return written, lambda: matched(self.database.counters.update_one(which, change))

        return act

    def NW(self, worker):
        """An updateMany has no number by which a server would know it again."""

        def act(number):
            written, which, change = self.increment("NW", worker, number)
            return written, lambda: matched(self.database.counters.update_many(which, change))

        return act

    def TX(self, worker):
        def act(number):
            written, which, change = self.increment("TX", worker, number)

            def body(session):
                one([self.database.rows.find_one({"_id": number % ROWS}, session=session)])
                matched(self.database.counters.update_one(which, change, session=session))

            def operate():
                with self.client.start_session() as session:
                    session.with_transaction(body)

            return written, operate

        return act

    def CU(self, worker):
        def operate():
            seen = []
            for row in self.database.rows.find(batch_size=10).sort("_id", 1):
                seen.append(row["_id"])
                if len(seen) % 10 == 0:
                    self.pause()
            if seen != list(range(ROWS)):
                raise Wrong(f"the cursor gave {seen}")

        return lambda number: ({}, operate)

    def CS(self, worker):
        stream = Stream(self.database[f"events-{self.plan['name']}-{worker}"])
        return lambda number: ({}, lambda: stream.pass_on(number))

    def run(self):
        threads = []
        for kind in self.plan["classes"]:
            for worker in range(self.plan["workers"]):
                thread = threading.Thread(target=self.work, args=(kind, worker), daemon=True)
                thread.start()
                threads.append(thread)
        while not self.stopped():
            time.sleep(0.05)
        end = time.monotonic() + PATIENCE
        for thread in threads:
            thread.join(max(0, end - time.monotonic()))
        for line, began in list(self.running.values()):
            self.say({**line, "ms": (time.monotonic() - began) * 1000, "error": "no answer"})


class Stream:
    """Inserts numbered documents and waits for the event of each: none is lost, none comes twice."""

    def __init__(self, things):
        self.things = things
        self.stream = None
        self.token = None
        self.last = 0
        self.awaited = set()

    def pass_on(self, number):
        try:
            if self.stream is None:
                if self.token is None:
                    self.awaited.clear()
                self.stream = self.things.watch(resume_after=self.token)
            self.things.insert_one({"_id": number})
            self.awaited.add(number)
            self.wait_for(number)
        except pymongo.errors.PyMongoError:
            if self.stream is not None and not self.stream.alive:
                self.stream = None
            raise

    def wait_for(self, number):
        end = time.monotonic() + EVENT_LIMIT
        while self.last < number:
            event = self.stream.try_next()
            self.token = self.stream.resume_token
            if event is not None:
                seen = event["documentKey"]["_id"]
                if seen <= self.last:
                    raise Wrong(f"event {seen} came twice")
                self.last = seen
                self.awaited.discard(seen)
                if any(each < seen for each in self.awaited):
                    raise Wrong(f"event {min(self.awaited)} was lost")
            elif time.monotonic() > end:
                raise Wrong(f"event {number} was lost")


def one(found):
    if len(found) != 1 or found[0] is None:
        raise Wrong(f"found {found}")


def matched(result):
    if result.matched_count != 1:
        raise Wrong(f"matched {result.matched_count}")


def run(plan, say):
    Load(plan, say).run()
