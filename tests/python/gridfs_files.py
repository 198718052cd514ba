"""GridFS: a file of several chunks, read whole, in part and by revision."""

import hashlib

import gridfs

from common import database, equal, main


def run(uri):
    content = b"".join(hashlib.sha256(bytes([n % 256, n // 256])).digest() for n in range(40_000))
    with database(uri) as (_, db):
        bucket = gridfs.GridFSBucket(db, chunk_size_bytes=100_000)
        first = bucket.upload_from_stream("file", content, metadata={"kind": "test"})
        bucket.upload_from_stream("file", b"second revision")
        with bucket.open_download_stream(first) as stream:
            equal(hashlib.sha256(stream.read()).digest(), hashlib.sha256(content).digest())
            stream.seek(999_990)
            equal(stream.read(20), content[999_990:1_000_010])
        equal(bucket.open_download_stream_by_name("file").read(), b"second revision")
        equal(db["fs.chunks"].count_documents({"files_id": first}), 13)
        bucket.delete(first)
        equal(db["fs.chunks"].count_documents({"files_id": first}), 0)
    return {"passed": 5, "bytes": len(content)}


main(run)
