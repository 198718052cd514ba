"""Cursors, consistency, change streams, files, other nodes than the primary."""

import hashlib
import os
import threading
import time

import gridfs
import pymongo
from pymongo import CursorType, ReadPreference, WriteConcern
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import Secondary, SecondaryPreferred

from common import NotApplicable, equal, fail_point, fails

MAJORITY = WriteConcern("majority")


def large_results(plan):
    with plan.client() as (_, db):
        things = db.large
        things.drop()
        payload = lambda n: f"{n}:" + chr(97 + n % 26) * 10_240
        for start in range(0, 2000, 500):
            things.insert_many([{"_id": n, "p": payload(n)} for n in range(start, start + 500)])
        count = 0
        for each in things.find(batch_size=50).sort("_id", 1):
            equal(each["_id"], count, "order")
            equal(each["p"], payload(count), "payload")
            count += 1
        equal(count, 2000, "documents")
        big = os.urandom(12_000_000)
        things.insert_one({"_id": "big", "p": big})
        equal(things.find_one({"_id": "big"})["p"] == big, True, "the 12 MB came back")
        things.drop()


def causal(plan):
    with plan.client() as (client, db):
        preference = ReadPreference.SECONDARY_PREFERRED if plan.secondaries else ReadPreference.PRIMARY
        things = db.get_collection("causal", write_concern=MAJORITY)
        things.drop()
        reader = db.get_collection("causal", read_concern=ReadConcern("majority"), read_preference=preference)
        with client.start_session(causal_consistency=True) as session:
            for n in range(50):
                things.insert_one({"_id": n}, session=session)
                equal(reader.find_one({"_id": n}, session=session), {"_id": n}, "own write")


def snapshot(plan):
    with plan.client() as (client, db):
        things = db.get_collection("snapshot", write_concern=MAJORITY)
        things.drop()
        things.insert_one({"_id": 1, "n": 1})
        with client.start_session(snapshot=True) as session:
            equal(things.find_one({"_id": 1}, session=session)["n"], 1)
            things.update_one({"_id": 1}, {"$set": {"n": 2}})
            equal(things.find_one({"_id": 1}, session=session)["n"], 1, "the old state")
        equal(things.find_one({"_id": 1})["n"], 2)


def change_stream(plan):
    with plan.faulty() as (client, db, seen, name):
        things = db.get_collection("stream", write_concern=MAJORITY)
        things.drop()
        db.create_collection("stream")
        with things.watch(max_await_time_ms=500) as stream:
            things.insert_many([{"_id": n} for n in range(5)])
            got = [stream.next()["documentKey"]["_id"] for _ in range(5)]
            equal(got, list(range(5)), "events in order")
            fault = {"errorCode": 6, "errorLabels": ["ResumableChangeStreamError"]}
            with fail_point(client, name, ["getMore"], **fault):
                things.insert_many([{"_id": n} for n in range(5, 10)])
                got = [stream.next()["documentKey"]["_id"] for _ in range(5)]
            equal(got, list(range(5, 10)), "events after the resume")
            equal(seen.count("aggregate"), 2, "opened and resumed")


def gridfs_files(plan):
    with plan.client() as (_, db):
        bucket = gridfs.GridFSBucket(db, bucket_name="files")
        content = os.urandom(3_000_000)
        identifier = bucket.upload_from_stream("three", content)
        with bucket.open_download_stream(identifier) as file:
            back = file.read()
        equal(hashlib.sha256(back).hexdigest(), hashlib.sha256(content).hexdigest(), "hash")
        bucket.rename(identifier, "renamed")
        equal([each.filename for each in bucket.find({"_id": identifier})], ["renamed"])
        bucket.delete(identifier)
        equal(db["files.chunks"].count_documents({"files_id": identifier}), 0, "chunks left")


def read_preference(plan):
    if not plan.secondaries:
        raise NotApplicable("the set has no secondaries")
    with plan.client(serverSelectionTimeoutMS=2000) as (_, db):
        things = db.get_collection("preference", write_concern=WriteConcern(3))
        things.drop()
        things.insert_one({"_id": 1})
        for preference in (ReadPreference.SECONDARY, Secondary(tag_sets=[{"region": "east"}])):
            reader = things.with_options(read_preference=preference)
            equal(reader.find_one({"_id": 1}), {"_id": 1}, f"through {preference}")
        nowhere = things.with_options(read_preference=Secondary(tag_sets=[{"region": "nowhere"}]))
        start = time.monotonic()
        if plan.face == "direct":
            try:
                nowhere.find_one({"_id": 1})
                raise AssertionError("tags that match no node found one")
            except pymongo.errors.ServerSelectionTimeoutError:
                pass
        else:
            fails(133, lambda: nowhere.find_one({"_id": 1}), "tags that match no node")
        equal(time.monotonic() - start < 3, True, "an error inside 3 s")
        anywhere = things.with_options(read_preference=Secondary(tag_sets=[{"region": "nowhere"}, {}]))
        equal(anywhere.find_one({"_id": 1}), {"_id": 1}, "the last tag set matches all")


def max_staleness(plan):
    with plan.client() as (_, db):
        things = db.get_collection("staleness", write_concern=MAJORITY)
        things.drop()
        things.insert_one({"_id": 1})
        fresh = things.with_options(read_preference=SecondaryPreferred(max_staleness=90))
        deadline = time.monotonic() + 5
        # A secondary may be a moment behind the majority.
        while fresh.find_one({"_id": 1}) is None:
            equal(time.monotonic() < deadline, True, "the document arrives")
        try:
            things.with_options(read_preference=SecondaryPreferred(max_staleness=1)).find_one()
        except (pymongo.errors.ConfigurationError, pymongo.errors.OperationFailure) as error:
            equal(getattr(error, "code", None) in (None, 160), True, f"refused with {error}")
        else:
            raise AssertionError("a staleness of 1 s was accepted")


def tailable(plan):
    with plan.client() as (_, db):
        db.drop_collection("tail")
        things = db.create_collection("tail", capped=True, size=1_000_000)
        things.insert_one({"_id": 0})
        cursor = things.find(cursor_type=CursorType.TAILABLE_AWAIT).max_await_time_ms(500)
        equal(cursor.next()["_id"], 0)
        later = threading.Timer(0.3, lambda: things.insert_many([{"_id": n} for n in (1, 2, 3)]))
        later.start()
        got = []
        deadline = time.monotonic() + 10
        while len(got) < 3 and cursor.alive and time.monotonic() < deadline:
            each = next(cursor, None)
            got += [] if each is None else [each["_id"]]
        cursor.close()
        later.join()
        equal(got, [1, 2, 3], "documents written later")


def exhaust(plan):
    with plan.client() as (_, db):
        db.exhaust.drop()
        db.exhaust.insert_many([{"_id": n, "p": "x" * 1000} for n in range(1000)])
        try:
            cursor = db.exhaust.find(cursor_type=CursorType.EXHAUST, batch_size=50)
            got = [each["_id"] for each in cursor]
        except pymongo.errors.InvalidOperation as error:
            if plan.face == "direct":
                raise
            raise NotApplicable(f"PyMongo {pymongo.version}: {error}") from error
        equal(got, list(range(1000)))
        equal(db.exhaust.count_documents({}), 1000, "the client after it")


FEATURES = {
    "large-results": large_results,
    "causal": causal,
    "snapshot": snapshot,
    "change-stream": change_stream,
    "gridfs": gridfs_files,
    "read-preference": read_preference,
    "max-staleness": max_staleness,
    "tailable": tailable,
    "exhaust": exhaust,
}
