"""The endpoints to the server: codecs, TLS, sockets, faces, deadlines, the pool itself."""

import importlib.util
import time
import weakref

import pymongo
from pymongo import monitoring

from common import NotApplicable, equal, fail_point, with_option
from reading import MAJORITY
from writing import fresh

CODECS = {"snappy": ["snappy"], "zlib": ["zlib"], "zstd": ["compression.zstd", "backports.zstd", "zstandard"]}


def available(module):
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def codec(client):
    """The codec that the used connections agreed on, from inside the driver."""
    contexts = [
        connection.compression_context
        for server in client._topology._servers.values()
        for connection in server.pool.conns
    ]
    names = {type(each).__name__.lower() for each in contexts}
    equal(len(names), 1, "one codec")
    return names.pop()


def compressor(name):
    def run(plan):
        if not any(available(module) for module in CODECS[name]):
            raise NotApplicable(f"no {name} codec is installed")
        with plan.client(with_option(plan.uri, f"compressors={name}")) as (client, db):
            db.codec.drop()
            text = "".join(f"{n:x}" for n in range(200_000))[:1_000_000]
            db.codec.insert_many([{"_id": n, "text": text} for n in range(3)])
            for each in db.codec.find(batch_size=1):
                equal(each["text"] == text, True, "the text came back")
            equal(codec(client).startswith(name), True, f"compressed with {codec(client)}")

    return run


def crud_through(name):
    def run(plan):
        with plan.client(plan.address(name)) as (client, db):
            things = db[name]
            things.drop()
            things.insert_many([{"_id": n} for n in range(20)])
            equal(things.update_one({"_id": 1}, {"$set": {"n": 1}}).modified_count, 1)
            equal(things.find_one({"_id": 1}), {"_id": 1, "n": 1})
            equal(len(list(things.find(batch_size=5))), 20)
            equal(things.delete_many({}).deleted_count, 20)
            if name == "tls":
                # The server behind this address need not be the one behind the others.
                client.drop_database(db.name)

    return run


def balanced(plan):
    with plan.client(plan.address("balanced")) as (client, db):
        equal(client.topology_description.topology_type_name, "LoadBalanced")
        things = fresh(db, "balanced")
        things.insert_many([{"_id": n} for n in range(100)])
        equal([each["_id"] for each in things.find(batch_size=7).sort("_id", 1)], list(range(100)))
        with client.start_session() as session:
            with session.start_transaction():
                for each in things.find({}, batch_size=10, session=session):
                    things.update_one({"_id": each["_id"]}, {"$set": {"seen": 1}}, session=session)
                equal(things.count_documents({"seen": 1}), 0, "seen from outside")
        equal(things.count_documents({"seen": 1}), 100)


def timeout(plan):
    with plan.faulty() as (_, db, _, name), plan.client() as (control, _):
        # Connecting may take longer than the limit of the one command it is for.
        db.timeout.insert_one({"n": 1})
        block = {"blockConnection": True, "blockTimeMS": 2000}
        with fail_point(control, name, ["find"], **block):
            start = time.monotonic()
            try:
                with pymongo.timeout(0.3):
                    db.timeout.find_one()
                raise AssertionError("the blocked find ended well")
            except pymongo.errors.PyMongoError as error:
                equal(error.timeout, True, f"a timeout: {error}")
            took = time.monotonic() - start
        equal(0.25 <= took <= 1.5, True, f"after {took:.3f} s: in time")
        equal(db.timeout.find_one() is not None, True, "the next operation")


try:
    from pymongo.synchronous.topology import process_events_queue
except ImportError:
    from pymongo.topology import process_events_queue


class Watcher(monitoring.ConnectionPoolListener, monitoring.ServerListener):
    """Cleared pools, and servers that became Unknown."""

    def __init__(self):
        self.cleared = 0
        self.unknown = 0
        self.known = False

    def look(self, client):
        """The driver reports servers once a second: takes what it has not reported yet."""
        process_events_queue(weakref.ref(client._topology._events))

    def description_changed(self, event):
        if event.new_description.server_type_name == "Unknown":
            self.unknown += self.known
        else:
            self.known = True

    def pool_cleared(self, event):
        self.cleared += 1

    def opened(self, event):
        pass

    closed = pool_created = pool_ready = pool_closed = connection_created = opened
    connection_ready = connection_closed = connection_check_out_started = opened
    connection_check_out_failed = connection_checked_out = connection_checked_in = opened


def pool(plan):
    watcher = Watcher()
    with plan.client(event_listeners=[watcher], heartbeatFrequencyMS=500) as (client, db):
        things = db.get_collection("pool", write_concern=MAJORITY)
        for n in range(20):
            things.replace_one({"_id": n}, {"n": n}, upsert=True)
        equal(things.count_documents({}), 20)
        watcher.look(client)
        equal((watcher.cleared, watcher.unknown), (0, 0), "pools cleared, servers unknown")
        equal(watcher.known, True, "a server was seen")


FEATURES = {
    "snappy": compressor("snappy"),
    "zlib": compressor("zlib"),
    "zstd": compressor("zstd"),
    "timeout": timeout,
    "tls": crud_through("tls"),
    "unix": crud_through("unix"),
    "balanced": balanced,
    "pool": pool,
}
