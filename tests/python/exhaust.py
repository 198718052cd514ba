"""An exhaust cursor. PyMongo itself refuses one when it sees a mongos."""

import pymongo

from common import database, equal, main


def run(uri):
    with database(uri) as (_, db):
        db.things.insert_many([{"_id": n, "pad": "x" * 1000} for n in range(3000)])
        try:
            cursor = db.things.find({}, batch_size=50, cursor_type=pymongo.CursorType.EXHAUST)
            found = [each["_id"] for each in cursor.sort("_id", 1)]
        except pymongo.errors.InvalidOperation as error:
            return {"refused_by_driver": str(error)}
        equal(found, list(range(3000)))
        # One that is left in the middle must not harm the next command.
        cursor = db.things.find({}, batch_size=50, cursor_type=pymongo.CursorType.EXHAUST)
        next(cursor)
        cursor.close()
        equal(db.things.count_documents({}), 3000)
    return {"refused_by_driver": None, "documents": len(found)}


main(run)
