"""A killed cursor is gone, and killing says which ones were there."""

from bson import Int64

from common import database, equal, fails, main


def open_cursor(db):
    reply = db.command("find", "things", batchSize=2)
    return reply["cursor"]["id"]


def run(uri):
    with database(uri) as (_, db):
        db.things.insert_many([{} for _ in range(10)])
        first, second = open_cursor(db), open_cursor(db)
        unknown = Int64(7_777_777)
        reply = db.command("killCursors", "things", cursors=[first, unknown, second])
        equal(sorted(reply["cursorsKilled"]), sorted([first, second]))
        equal(reply["cursorsNotFound"], [unknown])
        for gone in (first, unknown):
            fails(43, lambda: db.command("getMore", gone, collection="things"), "a getMore")
        # The driver's own close.
        cursor = db.things.find({}, batch_size=2)
        next(cursor)
        identifier = cursor.cursor_id
        cursor.close()
        fails(43, lambda: db.command("getMore", identifier, collection="things"), "a getMore")
    return {"passed": 3}


main(run)
