"""Writes that nobody acknowledges: read back by the same client at once."""

from pymongo import WriteConcern

from common import database, equal, main


def run(uri):
    # One connection, so that the server itself keeps the order.
    with database(uri, maxPoolSize=1) as (_, db):
        db.create_collection("things")
        silent = db.get_collection("things", write_concern=WriteConcern(w=0))
        for n in range(200):
            silent.insert_one({"_id": n})
            equal(db.things.count_documents({"_id": n}), 1, f"read {n} after its write")
        silent.insert_one({"_id": 0, "duplicate": True})
        silent.update_many({}, {"$set": {"x": 1}})
        equal(db.things.count_documents({"x": 1}), 200, "an error in between said nothing")
        silent.delete_many({})
        equal(db.things.count_documents({}), 0)
    return {"passed": 200}


main(run)
