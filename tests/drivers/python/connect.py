"""A program that has its connection string from its environment, as the shim leaves it."""

import os

import pymongo
from bson import ObjectId
from pymongo import ReadPreference


def run(case):
    line = {"id": case["id"], "outcome": "ok", "database": None, "weir": None, "message": ""}
    try:
        with pymongo.MongoClient(os.environ[case["variable"]]) as client:
            db = client.get_default_database("test")
            line.update(database=db.name, weir=client.admin.command("hello").get("weir"))
            document = {"_id": ObjectId(), "text": case["id"]}
            db.shim.insert_one(document)
            things = db.shim.with_options(read_preference=ReadPreference.PRIMARY)
            if things.find_one({"_id": document["_id"]}) != document:
                raise AssertionError("what was written is not what is read")
    except Exception as error:  # whatever it is, it is this string's failure
        line.update(outcome="error", message=f"{type(error).__name__}: {error}"[:300])
    return line
