"""Cursors with many batches, side by side, and one that waits for more."""

import time

import pymongo

from common import database, equal, main


def many_batches(db):
    cursor = db.things.find({}, batch_size=25).sort("_id", 1)
    equal([each["_id"] for each in cursor], list(range(1000)))


def side_by_side(db):
    """Two cursors advance in turn, with a write between each two steps."""
    up = db.things.find({}, batch_size=10).sort("_id", 1)
    down = db.things.aggregate([{"$sort": {"_id": -1}}], batchSize=7)
    for n in range(300):
        equal(next(up)["_id"], n)
        equal(next(down)["_id"], 999 - n)
        db.others.update_one({"_id": 0}, {"$inc": {"n": 1}}, upsert=True)
    up.close()
    down.close()
    equal(db.others.find_one()["n"], 300)


def command_cursors(db):
    equal(len(list(db.list_collections())), 2)
    equal(len(list(db.things.list_indexes())), 1)
    reply = db.command("find", "things", batchSize=3, sort={"_id": 1})
    more = db.command("getMore", reply["cursor"]["id"], collection="things", batchSize=4)
    equal([each["_id"] for each in more["cursor"]["nextBatch"]], [3, 4, 5, 6])
    db.command("killCursors", "things", cursors=[reply["cursor"]["id"]])


def tailable(db):
    """An awaiting getMore ends when a document comes, or when its time is up."""
    db.create_collection("tail", capped=True, size=100_000)
    db.tail.insert_one({"_id": 0})
    cursor = db.tail.find({}, cursor_type=pymongo.CursorType.TAILABLE_AWAIT)
    cursor.max_await_time_ms(300)
    equal(next(cursor)["_id"], 0)
    started = time.monotonic()
    equal(next(cursor, None), None, "nothing new")
    waited = time.monotonic() - started
    db.tail.insert_one({"_id": 1})
    equal(next(cursor)["_id"], 1)
    cursor.close()
    return waited


def run(uri):
    with database(uri) as (_, db):
        db.things.insert_many([{"_id": n} for n in range(1000)])
        many_batches(db)
        side_by_side(db)
        command_cursors(db)
        waited = tailable(db)
    return {"passed": 4, "quiet_wait_ms": round(waited * 1000)}


main(run)
