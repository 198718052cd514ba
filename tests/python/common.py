"""What the scripts share.

Each script takes a connection string, does something and checks it by itself,
and prints one line of JSON. Direct to a replica set and through Weir it must
do the same; what may differ is in the JSON for the caller to judge.
"""

import contextlib
import json
import sys
import uuid

import pymongo


def main(run):
    """Calls run(uri, *arguments) and prints what it returns."""
    result = run(*sys.argv[1:])
    result["pymongo"] = pymongo.version
    print(json.dumps(result))


@contextlib.contextmanager
def database(uri, **options):
    """A client, and a database that is dropped at the end."""
    with pymongo.MongoClient(uri, **options) as client:
        name = "py_" + uuid.uuid4().hex
        try:
            yield client, client[name]
        finally:
            client.drop_database(name)


def equal(got, wanted, what="value"):
    """Fails unless both are equal."""
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r}, wanted {wanted!r}")


def fails(code, call, what="call"):
    """Runs a call that must fail with this server code; returns the error."""
    try:
        call()
    except pymongo.errors.PyMongoError as error:
        found = getattr(error, "code", None)
        if found != code:
            raise AssertionError(f"{what}: failed with {found}, wanted {code}: {error}")
        return error
    raise AssertionError(f"{what}: did not fail")
