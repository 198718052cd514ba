"""Connecting, logging in, reading and writing."""

import threading

import pymongo
from pymongo import DeleteMany, DeleteOne, InsertOne, ReplaceOne, ReturnDocument, UpdateMany, UpdateOne
from pymongo.server_api import ServerApi

from common import NotApplicable, equal, fails, with_password

WIRE_VERSION_OF_CLIENT_BULK_WRITE = 25


def once(plan, **options):
    with plan.client(**options) as (client, db):
        equal(client.admin.command("ping")["ok"], 1.0)
        db.connect.replace_one({"_id": 1}, {"_id": 1, "n": 7}, upsert=True)
        equal(db.connect.find_one({"_id": 1}), {"_id": 1, "n": 7})


def connect(plan):
    for _ in range(3):
        once(plan)


def server_api(plan):
    for _ in range(3):
        once(plan, server_api=ServerApi("1"))


def server_api_strict(plan):
    api = ServerApi("1", strict=True, deprecation_errors=True)
    once(plan, server_api=api)
    with plan.client(server_api=api) as (client, db):
        db.strict.insert_many([{"n": n} for n in range(10)])
        db.strict.update_many({"n": {"$gt": 5}}, {"$set": {"big": True}})
        equal(db.strict.count_documents({"big": True}), 4)
        db.strict.delete_many({"big": True})
        equal(len(list(db.strict.find(batch_size=2))), 6)
        equal("admin" in client.list_database_names(), True, "databases listed")
        fails(323, lambda: db.command("collStats", "strict"), "a command outside the API")


def scram(mechanism):
    def run(plan):
        uri = plan.address(mechanism)
        for attempt in ("right", "wrong", "right"):
            if attempt == "wrong":
                with pymongo.MongoClient(with_password(uri, "wrong")) as client:
                    fails(18, lambda: client.admin.command("ping"), "a wrong password")
                continue
            with plan.client(uri) as (client, db):
                status = client.admin.command("connectionStatus")
                equal(len(status["authInfo"]["authenticatedUsers"]), 1, "users logged in")
                db.scram.replace_one({"_id": mechanism}, {"n": 1}, upsert=True)
                equal(db.scram.find_one({"_id": mechanism})["n"], 1)

    return run


def crud(plan):
    with plan.client() as (_, db):
        things = db.crud
        things.drop()
        equal(things.insert_one({"_id": 0, "n": 0}).inserted_id, 0)
        equal(len(things.insert_many([{"_id": i, "n": i} for i in range(1, 10)]).inserted_ids), 10 - 1)
        found = things.find({"n": {"$gte": 2}}, {"n": 1, "_id": 0}).sort("n", -1).skip(1).limit(3)
        equal(list(found), [{"n": 8}, {"n": 7}, {"n": 6}], "sort, skip, limit, projection")
        equal(things.update_one({"_id": 1}, {"$inc": {"n": 100}}).modified_count, 1)
        equal(things.update_many({"n": {"$lt": 5}}, {"$set": {"low": True}}).modified_count, 4)
        equal(things.replace_one({"_id": 9}, {"r": 1}).modified_count, 1)
        after = things.find_one_and_update({"_id": 1}, {"$inc": {"n": 1}}, return_document=ReturnDocument.AFTER)
        equal(after["n"], 102)
        equal(things.find_one_and_replace({"_id": 9}, {"r": 2}), {"_id": 9, "r": 1})
        equal(things.find_one_and_delete({"_id": 9}), {"_id": 9, "r": 2})
        equal(sorted(things.distinct("low")), [True])
        equal(things.count_documents({}), 9)
        equal(things.estimated_document_count(), 9)
        equal(things.update_one({"_id": "up"}, {"$set": {"n": 1}}, upsert=True).upserted_id, "up")
        equal(things.delete_one({"_id": "up"}).deleted_count, 1)
        equal(things.delete_many({"low": True}).deleted_count, 4)
        fails(11000, lambda: things.insert_one({"_id": 1}), "a duplicate")
        name = things.create_index([("n", 1)])
        equal(name in things.index_information(), True, "index listed")
        things.drop_index(name)
        equal(name in things.index_information(), False, "index dropped")


def bulk(plan):
    with plan.client() as (_, db):
        things = db.bulk
        things.drop()
        mixed = [
            InsertOne({"_id": 1}),
            InsertOne({"_id": 2}),
            UpdateOne({"_id": 1}, {"$set": {"n": 1}}),
            UpdateMany({}, {"$set": {"m": 1}}),
            ReplaceOne({"_id": 3}, {"r": 1}, upsert=True),
            DeleteOne({"_id": 2}),
        ]
        result = things.bulk_write(mixed)
        counts = (result.inserted_count, result.modified_count, result.upserted_count, result.deleted_count)
        equal(counts, (2, 3, 1, 1))
        equal(things.bulk_write([DeleteMany({})]).deleted_count, 2)
        for ordered, inserted in ((True, 1), (False, 2)):
            things.delete_many({})
            clash = [InsertOne({"_id": 1}), InsertOne({"_id": 1}), InsertOne({"_id": 2})]
            try:
                things.bulk_write(clash, ordered=ordered)
                raise AssertionError("the duplicate was taken")
            except pymongo.errors.BulkWriteError as error:
                details = error.details
                equal(details["nInserted"], inserted, f"inserted, ordered={ordered}")
                places = [(each["index"], each["code"]) for each in details["writeErrors"]]
                equal(places, [(1, 11000)], f"errors, ordered={ordered}")
        things.delete_many({})
        equal(things.bulk_write([InsertOne({"n": n}) for n in range(10_000)]).inserted_count, 10_000)
        equal(things.count_documents({}), 10_000)


def client_bulk_write(plan):
    if plan.server.get("maxWireVersion", 0) < WIRE_VERSION_OF_CLIENT_BULK_WRITE:
        raise NotApplicable(f"the server {plan.server.get('version')} has no bulkWrite command")
    if not hasattr(pymongo.MongoClient, "bulk_write"):
        raise NotApplicable(f"PyMongo {pymongo.version} has no client bulkWrite")
    with plan.client() as (client, db):
        one, two = f"{db.name}.one", f"{db.name}.two"
        result = client.bulk_write(
            [
                InsertOne({"_id": 1, "n": 1}, namespace=one),
                InsertOne({"_id": 2, "n": 1}, namespace=two),
                UpdateOne({"_id": 1}, {"$set": {"n": 2}}, namespace=one),
                DeleteOne({"_id": 2}, namespace=two),
                InsertOne({"_id": 3, "n": 3}, namespace=two),
            ],
            verbose_results=True,
        )
        counts = (result.inserted_count, result.modified_count, result.deleted_count)
        equal(counts, (3, 1, 1))
        equal(result.insert_results[4].inserted_id, 3)
        equal(db.one.find_one({"_id": 1}), {"_id": 1, "n": 2})
        equal(list(db.two.find()), [{"_id": 3, "n": 3}])


def out_merge(plan):
    with plan.client() as (_, db):
        for name in ("source", "out", "merge"):
            db[name].drop()
        db.source.insert_many([{"_id": n, "n": n} for n in range(50)])
        db.source.aggregate([{"$match": {"n": {"$lt": 10}}}, {"$out": "out"}])
        equal(sorted(each["_id"] for each in db.out.find()), list(range(10)))
        db.merge.insert_one({"_id": 3, "old": True})
        db.source.aggregate([{"$match": {"n": {"$lt": 5}}}, {"$merge": {"into": "merge"}}])
        equal(db.merge.count_documents({}), 5)
        equal(db.merge.find_one({"_id": 3}), {"_id": 3, "old": True, "n": 3})


def sessions(plan):
    with plan.client() as (client, db):
        db.sessions.drop()
        with client.start_session() as session:
            for n in range(5):
                db.sessions.insert_one({"_id": n}, session=session)
            equal(db.sessions.count_documents({}, session=session), 5)
            equal(len(list(db.sessions.find(batch_size=2, session=session))), 5)
            client.admin.command("endSessions", [session.session_id])
        parallel(50, lambda _: equal(len(list(db.sessions.find(batch_size=2))), 5))


def concurrent(plan):
    with plan.client(maxPoolSize=50) as (_, db):
        db.concurrent.drop()

        def own(task):
            payload = f"{task}:" + chr(97 + task % 26) * 2000
            for n in range(10):
                db.concurrent.insert_one({"_id": f"{task}-{n}", "task": task, "payload": payload})
                equal(db.concurrent.find_one({"_id": f"{task}-{n}"})["payload"], payload, "payload")
            mine = list(db.concurrent.find({"task": task}, batch_size=3))
            equal([each["payload"] for each in mine], [payload] * 10, "payloads")

        parallel(50, own)


def parallel(count, work):
    """Runs work(n) in threads; the first error is raised."""
    errors = []

    def run(n):
        try:
            work(n)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def commands(plan):
    with plan.client() as (client, db):
        db.commands.drop()
        db.commands.insert_many([{"n": n} for n in range(3)])
        equal(client.admin.command("ping")["ok"], 1.0)
        hello = client.admin.command("hello")
        equal(hello["isWritablePrimary"], True, "hello")
        equal(hello.get("msg") == "isdbgrid", plan.face != "direct", "the face in hello")
        equal(client.admin.command("buildInfo")["version"], plan.server["version"], "version")
        users = client.admin.command("connectionStatus")["authInfo"]["authenticatedUsers"]
        equal(len(users), 1 if "@" in plan.uri else 0, "users")
        equal(client.admin.command("serverStatus")["connections"]["current"] > 0, True, "connections")
        equal(db.command("dbStats")["db"], db.name)
        equal(db.command("collStats", "commands")["count"], 3)
        plan_of = db.command("explain", {"find": "commands", "filter": {"n": 1}}, verbosity="queryPlanner")
        equal("queryPlanner" in plan_of, True, "explain")
        equal(db.list_collection_names(filter={"name": "commands"}), ["commands"])
        fails(59, lambda: db.command("noSuchCommand"), "an unknown command")


FEATURES = {
    "connect": connect,
    "server-api": server_api,
    "server-api-strict": server_api_strict,
    "scram-sha-256": scram("sha256"),
    "scram-sha-1": scram("sha1"),
    "crud": crud,
    "bulk": bulk,
    "client-bulk-write": client_bulk_write,
    "out-merge": out_merge,
    "sessions": sessions,
    "concurrent": concurrent,
    "commands": commands,
}
