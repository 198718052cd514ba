"""A driver that offers these compressors. Argument: names joined by commas.

Prints the one in use, or null.
"""

from common import database, equal, main


def in_use(client):
    """PyMongo tells nobody; its connections know."""
    for server in client._topology._servers.values():
        for connection in server.pool.conns:
            context = connection.compression_context
            return type(context).__name__ if context else None
    raise AssertionError("no connection")


def run(uri, compressors):
    with database(uri, compressors=compressors) as (client, db):
        documents = [{"_id": n, "text": "to and fro " * 500} for n in range(200)]
        db.things.insert_many(documents)
        equal(list(db.things.find({}, batch_size=20).sort("_id", 1)), documents)
        equal(db.command("ping")["ok"], 1.0)
        context = in_use(client)
    names = {"SnappyContext": "snappy", "ZlibContext": "zlib", "ZstdContext": "zstd"}
    return {"compressor": names.get(context)}


main(run)
