"""Retries under fail points: exactly one write, and a read that succeeds.

Needs a server (or a Weir) with test commands. The fail point names our
application, so it meets nobody else on a shared cluster.
"""

import uuid

import pymongo
from pymongo import monitoring

from common import database, equal, main


class Commands(monitoring.CommandListener):
    def __init__(self):
        self.seen = []

    def started(self, event):
        if event.command_name in ("insert", "find"):
            self.seen.append((event.command_name, event.command.get("txnNumber")))

    def succeeded(self, event):
        pass

    def failed(self, event):
        pass


def fail_once(client, name, application, **data):
    client.admin.command(
        "configureFailPoint",
        "failCommand",
        mode={"times": 1},
        data={"failCommands": [name], "appName": application, **data},
    )


def run(uri):
    application = "py " + uuid.uuid4().hex
    commands = Commands()
    ways = [
        {"errorCode": 6, "errorLabels": ["RetryableWriteError"]},
        {"closeConnection": True},
    ]
    with database(uri, appname=application, event_listeners=[commands]) as (client, db):
        db.things.insert_one({"_id": "warm"})
        for index, way in enumerate(ways):
            commands.seen.clear()
            fail_once(client, "insert", application, **way)
            db.things.insert_one({"_id": index})
            equal([name for name, _ in commands.seen], ["insert"] * 2, f"retried after {way}")
            equal(commands.seen[0][1], commands.seen[1][1], "the transaction numbers")
            equal(db.things.count_documents({"_id": index}), 1)
        commands.seen.clear()
        fail_once(client, "find", application, errorCode=6)
        equal(db.things.find_one({"_id": 0}), {"_id": 0})
        equal([name for name, _ in commands.seen], ["find"] * 2, "the read retried")
        # Without retries the error is seen, and nothing was written.
        with pymongo.MongoClient(uri, appname=application, retryWrites=False) as once:
            fail_once(client, "insert", application, errorCode=6)
            try:
                once[db.name].things.insert_one({"_id": "never"})
                raise AssertionError("the fail point did nothing")
            except pymongo.errors.OperationFailure as error:
                equal(error.code, 6)
        equal(db.things.count_documents({"_id": "never"}), 0)
    return {"passed": 4}


main(run)
