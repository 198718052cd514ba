"""One operation against one fault: what the driver made of it."""

import time

import pymongo

from common import Commands, with_option
from endpoints import Watcher

LIMIT_MS = 25_000
COUNTED = {
    "RD": "find",
    "RW": "insert",
    "NW": "update",
    "TX": "update",
    "TXW": "insert",
    "CM": "commitTransaction",
    "CMW": "commitTransaction",
    "AB": "abortTransaction",
    "GM": "getMore",
    "CS": "aggregate",
}


def by_hand(client, things, end, update=False):
    with client.start_session() as session:
        session.start_transaction()
        try:
            things.insert_one({"_id": 1}, session=session)
            if update:
                things.update_one({"_id": 1}, {"$set": {"n": 1}}, session=session)
            end(session)
        except BaseException:
            if session.in_transaction:
                session.abort_transaction()
            raise


def convenient(client, things, facts):
    def body(session):
        facts["bodies"] += 1
        things.insert_one({"_id": facts["bodies"]}, session=session)

    with client.start_session() as session:
        session.with_transaction(body)


def stream(things):
    with things.watch() as events:
        for _ in range(3):
            events.next()


def operate(kind, client, things, facts):
    if kind == "RD":
        things.find_one({"_id": 1})
    elif kind == "RW":
        things.insert_one({"_id": 1})
    elif kind == "NW":
        things.update_many({}, {"$set": {"n": 1}})
    elif kind == "TX":
        by_hand(client, things, lambda s: s.commit_transaction(), update=True)
    elif kind in ("TXW", "CMW"):
        convenient(client, things, facts)
    elif kind == "CM":
        by_hand(client, things, lambda s: s.commit_transaction())
    elif kind == "AB":
        by_hand(client, things, lambda s: s.abort_transaction())
    elif kind == "GM":
        if len(list(things.find({}, batch_size=2))) != 5:
            raise AssertionError("not all five documents")
    else:
        stream(things)


def code_of(error):
    """A changed role is an error of its own, which keeps the server's reply in its details."""
    details = getattr(error, "details", None)
    return getattr(error, "code", None) or (details.get("code") if isinstance(details, dict) else None)


def run(case):
    seen, watcher = Commands(), Watcher()
    facts = {"id": case["id"], "outcome": "ok", "bodies": 0, "code": None, "labels": []}
    facts.update(network=False, message="")
    uri = with_option(case["uri"], f"serverSelectionTimeoutMS={LIMIT_MS}&socketTimeoutMS={LIMIT_MS}")
    with pymongo.MongoClient(uri, event_listeners=[seen, watcher]) as client:
        client.admin.command("ping")
        start = time.monotonic()
        try:
            operate(case["class"], client, client.probe.things, facts)
        except pymongo.errors.PyMongoError as error:
            known = ("RetryableWriteError", "TransientTransactionError", "UnknownTransactionCommitResult",
                     "ResumableChangeStreamError", "SystemOverloadedError", "RetryableError", "NoWritesPerformed")
            facts.update(
                outcome="error",
                code=code_of(error),
                labels=[label for label in known if error.has_error_label(label)],
                network=isinstance(error, pymongo.errors.ConnectionFailure) and code_of(error) is None,
                message=str(error)[:200],
            )
        except AssertionError as error:
            facts.update(outcome="error", message=str(error))
        facts["ms"] = round((time.monotonic() - start) * 1000)
        facts.update(attempts=seen.count(COUNTED[case["class"]]))
        watcher.look(client)
        # Before the client's end, which closes its pool and forgets its servers.
        facts.update(poolCleared=watcher.cleared, unknown=watcher.unknown)
    return facts
