"""A change stream: events in order, resumed from a token, and quiet in between."""

import time

from common import database, equal, main


def run(uri):
    with database(uri) as (_, db):
        things = db.things
        db.create_collection("things")
        with things.watch(full_document="updateLookup", max_await_time_ms=200) as stream:
            started = time.monotonic()
            equal(stream.try_next(), None, "before any change")
            waited = time.monotonic() - started
            for n in range(5):
                things.insert_one({"_id": n})
            things.update_one({"_id": 0}, {"$set": {"x": 1}})
            events = [next(stream) for _ in range(3)]
            equal([each["documentKey"]["_id"] for each in events], [0, 1, 2])
            token = stream.resume_token
        with things.watch(resume_after=token, full_document="updateLookup") as stream:
            events = [next(stream) for _ in range(3)]
            equal([each["operationType"] for each in events], ["insert", "insert", "update"])
            equal(events[2]["fullDocument"], {"_id": 0, "x": 1})
        with db.watch([{"$match": {"operationType": "delete"}}], batch_size=1) as stream:
            things.delete_many({"_id": {"$lt": 3}})
            equal([next(stream)["documentKey"]["_id"] for _ in range(3)], [0, 1, 2])
    return {"passed": 3, "quiet_wait_ms": round(waited * 1000)}


main(run)
