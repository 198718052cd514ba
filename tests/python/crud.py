"""Every ordinary read and write, alone and in bulk."""

import datetime
import decimal

import bson
import pymongo
from pymongo import DeleteMany, DeleteOne, InsertOne, ReplaceOne, UpdateMany, UpdateOne

from common import database, equal, fails, main


def reads_and_writes(db):
    things = db.things
    things.insert_one({"_id": 1, "name": "one"})
    equal(len(things.insert_many([{"_id": n, "n": n} for n in range(2, 50)]).inserted_ids), 48)
    equal(things.find_one({"_id": 1}), {"_id": 1, "name": "one"})
    page = things.find({"n": {"$gte": 10}}, {"n": 1}).sort("n", -1).skip(2).limit(3)
    equal([each["n"] for each in page], [47, 46, 45])
    equal(things.count_documents({}), 49)
    equal(things.estimated_document_count(), 49)
    equal(things.distinct("n", {"n": {"$lt": 5}}), [2, 3, 4])
    equal(things.update_one({"_id": 2}, {"$inc": {"n": 100}}).modified_count, 1)
    equal(things.update_many({"n": {"$lt": 10}}, {"$set": {"small": True}}).matched_count, 7)
    equal(things.update_one({"_id": "new"}, {"$set": {"n": 0}}, upsert=True).upserted_id, "new")
    equal(things.replace_one({"_id": 3}, {"n": 3}).modified_count, 1)
    before = things.find_one_and_update({"_id": 4}, {"$inc": {"n": 1}})
    equal(before["n"], 4)
    equal(things.find_one_and_replace({"_id": 4}, {"n": 44}, return_document=True)["n"], 44)
    equal(things.find_one_and_delete({"_id": 4})["n"], 44)
    equal(things.delete_one({"_id": 5}).deleted_count, 1)
    equal(things.delete_many({"n": {"$gte": 40}}).deleted_count, 11)
    total = list(things.aggregate([{"$match": {"n": {"$gte": 30}}}, {"$count": "n"}]))
    equal(total, [{"n": 10}])
    error = fails(11000, lambda: things.insert_one({"_id": 1}), "a duplicate key")
    equal(error.details["keyPattern"], {"_id": 1})


def bulk(db):
    things = db.bulk
    result = things.bulk_write(
        [
            *[InsertOne({"_id": n}) for n in range(10)],
            UpdateOne({"_id": 1}, {"$set": {"x": 1}}),
            UpdateMany({"_id": {"$gt": 5}}, {"$set": {"y": 1}}),
            ReplaceOne({"_id": "r"}, {"z": 1}, upsert=True),
            DeleteOne({"_id": 2}),
            DeleteMany({"y": 1}),
        ]
    )
    counts = (result.inserted_count, result.modified_count, result.upserted_count)
    equal(counts, (10, 5, 1), "inserted, modified, upserted")
    equal(result.deleted_count, 5)
    duplicates = [InsertOne({"_id": n}) for n in (1, 100, 3, 101)]
    try:
        things.bulk_write(duplicates, ordered=False)
        raise AssertionError("duplicates were taken")
    except pymongo.errors.BulkWriteError as error:
        equal([each["index"] for each in error.details["writeErrors"]], [0, 2])
        equal(error.details["nInserted"], 2)
    # More than one message: 120 MB do not fit into 48.
    big = "x" * 4_000_000
    equal(len(things.insert_many([{"big": big} for _ in range(30)]).inserted_ids), 30)
    sizes = [len(each["big"]) for each in things.find({"big": {"$exists": True}}, batch_size=10)]
    equal(sizes, [4_000_000] * 30, "the sizes read back")


def types(db):
    document = bson.SON(
        [
            ("_id", bson.ObjectId()),
            ("z", "ends"),
            ("a", "begins: order is kept"),
            ("unicode", "Größe 測試 🌊"),
            ("int32", 7),
            ("int64", bson.Int64(7)),
            ("double", 0.1),
            ("decimal", bson.Decimal128(decimal.Decimal("1.10"))),
            ("date", datetime.datetime(2020, 1, 2, 3, 4, 5, 6000)),
            ("binary", bson.Binary(bytes(range(256)), 128)),
            ("regex", bson.Regex("^a", "i")),
            ("code", bson.Code("f()", {"x": 1})),
            ("timestamp", bson.Timestamp(5, 6)),
            ("minkey", bson.MinKey()),
            ("list", [None, True, {"deep": [[]]}]),
        ]
    )
    raw = db.get_collection("types", bson.codec_options.CodecOptions(bson.raw_bson.RawBSONDocument))
    sent = bson.raw_bson.RawBSONDocument(bson.encode(document))
    raw.insert_one(sent)
    equal(raw.find_one({}).raw, sent.raw, "the very bytes")


def administration(db):
    db.create_collection("capped", capped=True, size=10_000)
    name = db.things.create_index([("n", 1)], unique=False)
    equal(name in db.things.index_information(), True)
    db.things.drop_index(name)
    equal("capped" in db.list_collection_names(), True)
    equal(db.command("ping")["ok"], 1.0)
    fails(59, lambda: db.command("noSuchCommand"), "an unknown command")


def run(uri):
    with database(uri) as (_, db):
        reads_and_writes(db)
        bulk(db)
        types(db)
        administration(db)
    return {"passed": 4}


main(run)
