"""Transactions: commit, abort, retried callback, conflict, a cursor inside."""

import pymongo

from common import database, equal, main


def commit(client, db):
    with client.start_session() as session:
        with session.start_transaction():
            db.a.insert_one({"_id": "commit"}, session=session)
            db.b.insert_one({"_id": "commit"}, session=session)
            equal(db.a.count_documents({"_id": "commit"}), 0, "seen from outside")
            inside = db.a.count_documents({"_id": "commit"}, session=session)
            equal(inside, 1, "seen from inside")
    equal(db.a.count_documents({"_id": "commit"}), 1)
    equal(db.b.count_documents({"_id": "commit"}), 1)


def commit_again(client, db):
    """A commit may be repeated, as drivers do when the first reply is lost."""
    with client.start_session() as session:
        session.start_transaction()
        db.a.insert_one({"_id": "twice"}, session=session)
        session.commit_transaction()
        session.commit_transaction()
    equal(db.a.count_documents({"_id": "twice"}), 1)


def abort(client, db):
    with client.start_session() as session:
        session.start_transaction()
        db.a.insert_one({"_id": "abort"}, session=session)
        session.abort_transaction()
        # The session is good for another one.
        with session.start_transaction():
            db.a.insert_one({"_id": "after abort"}, session=session)
    equal(db.a.count_documents({"_id": "abort"}), 0)
    equal(db.a.count_documents({"_id": "after abort"}), 1)


def callback(client, db):
    """withTransaction runs its callback again after a transient error."""
    runs = []

    def work(session):
        runs.append(1)
        db.a.insert_one({"_id": f"callback {len(runs)}"}, session=session)
        if len(runs) == 1:
            raise pymongo.errors.OperationFailure(
                "made up", 112, {"errorLabels": ["TransientTransactionError"]}
            )
        return "done"

    with client.start_session() as session:
        equal(session.with_transaction(work), "done")
    equal(len(runs), 2)
    equal([each["_id"] for each in db.a.find({"_id": {"$regex": "^callback"}})], ["callback 2"])


def conflict(client, db):
    """The second writer loses at once, and is told that it may start again."""
    db.a.insert_one({"_id": "conflict", "n": 0})
    with client.start_session() as first, client.start_session() as second:
        first.start_transaction()
        second.start_transaction()
        db.a.update_one({"_id": "conflict"}, {"$inc": {"n": 1}}, session=first)
        try:
            db.a.update_one({"_id": "conflict"}, {"$inc": {"n": 1}}, session=second)
            raise AssertionError("both wrote the same document")
        except pymongo.errors.OperationFailure as error:
            equal(error.code, 112)
            equal(error.has_error_label("TransientTransactionError"), True, "labelled")
        second.abort_transaction()
        first.commit_transaction()
    equal(db.a.find_one({"_id": "conflict"})["n"], 1)


def cursor_inside(client, db):
    """Ten batches and a write per document, all in one transaction."""
    db.c.insert_many([{"_id": n} for n in range(100)])
    with client.start_session() as session:
        with session.start_transaction():
            for each in db.c.find({}, batch_size=10, session=session).sort("_id", 1):
                db.c.update_one({"_id": each["_id"]}, {"$set": {"seen": 1}}, session=session)
            equal(db.c.count_documents({"seen": 1}), 0, "seen from outside")
    equal(db.c.count_documents({"seen": 1}), 100)


def run(uri):
    with database(uri) as (client, db):
        for name in ("a", "b", "c"):
            db.create_collection(name)
        for part in (commit, commit_again, abort, callback, conflict, cursor_inside):
            part(client, db)
    return {"passed": 6}


main(run)
