"""Transactions, retries, and writes nobody acknowledges."""

from pymongo import WriteConcern

from common import equal, fail_point


def fresh(db, name):
    """A collection that exists: older servers create none inside a transaction."""
    db.drop_collection(name)
    db.create_collection(name)
    return db[name]


def transactions(plan):
    with plan.client() as (client, db):
        things = fresh(db, "transactions")
        with client.start_session() as session:
            session.start_transaction()
            things.insert_one({"_id": "commit"}, session=session)
            equal(things.count_documents({}), 0, "seen from outside before the commit")
            equal(things.count_documents({}, session=session), 1, "seen from inside")
            session.commit_transaction()
            equal(things.count_documents({}), 1, "seen after the commit")
            session.start_transaction()
            things.insert_one({"_id": "abort"}, session=session)
            session.abort_transaction()
            equal(things.count_documents({"_id": "abort"}), 0, "seen after the abort")


def transaction_retry(plan):
    with plan.faulty() as (client, db, seen, name):
        things = fresh(db, "transaction_retry")
        things.insert_one({"_id": 1, "n": 0})
        with client.start_session() as session:
            session.start_transaction()
            things.update_one({"_id": 1}, {"$inc": {"n": 1}}, session=session)
            fault = {"errorCode": 6, "errorLabels": ["RetryableWriteError"]}
            with fail_point(client, name, ["commitTransaction"], **fault):
                session.commit_transaction()
        equal(seen.count("commitTransaction"), 2, "commits sent")
        equal(things.find_one({"_id": 1})["n"], 1, "applied")


def with_transaction(plan):
    with plan.faulty() as (client, db, seen, name):
        things = fresh(db, "with_transaction")
        runs = []

        def body(session):
            runs.append(1)
            things.insert_one({"_id": len(runs)}, session=session)

        fault = {"errorCode": 251, "errorLabels": ["TransientTransactionError"]}
        with fail_point(client, name, ["insert"], **fault), client.start_session() as session:
            session.with_transaction(body)
        equal(len(runs), 2, "runs of the body")
        equal([each["_id"] for each in things.find()], [2], "applied")


def retryable_write(plan):
    with plan.faulty() as (client, db, seen, name):
        things = fresh(db, "retryable_write")
        things.insert_one({"_id": "warm"})
        ways = [{"errorCode": 6, "errorLabels": ["RetryableWriteError"]}, {"closeConnection": True}]
        for index, way in enumerate(ways):
            before = seen.count("insert")
            with fail_point(client, name, ["insert"], **way):
                things.insert_one({"_id": index})
            equal(seen.count("insert") - before, 2, f"inserts sent after {way}")
            equal(things.count_documents({"_id": index}), 1)


def retryable_read(plan):
    with plan.faulty() as (client, db, seen, name):
        things = fresh(db, "retryable_read")
        things.insert_one({"_id": 1})
        for way in ({"errorCode": 6}, {"closeConnection": True}):
            before = seen.count("find")
            with fail_point(client, name, ["find"], **way):
                equal(things.find_one({"_id": 1}), {"_id": 1})
            equal(seen.count("find") - before, 2, f"finds sent after {way}")


def unacknowledged(plan):
    with plan.client(maxPoolSize=5) as (_, db):
        things = fresh(db, "unacknowledged")
        quiet = things.with_options(write_concern=WriteConcern(w=0))
        for n in range(100):
            equal(quiet.insert_one({"_id": n}).acknowledged, False)
            equal(things.count_documents({}), n + 1, "seen at once")


FEATURES = {
    "transactions": transactions,
    "transaction-retry": transaction_retry,
    "with-transaction": with_transaction,
    "retryable-read": retryable_read,
    "retryable-write": retryable_write,
    "unacknowledged": unacknowledged,
}
