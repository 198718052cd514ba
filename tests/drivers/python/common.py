"""What the features share."""

import contextlib
import re
import uuid

import pymongo
from pymongo import monitoring


class NotApplicable(Exception):
    """The driver, the server or the face cannot do this; says why."""


class Plan:
    """The plan, and clients made from it."""

    def __init__(self, plan):
        self.face = plan.get("face", "direct")
        self.uri = plan["uri"]
        self.database = plan["database"]
        self.features = plan.get("features")
        self.uris = plan.get("uris", {})
        self.server = plan.get("server", {})
        self.secondaries = plan.get("secondaries", False)

    def address(self, name):
        if name not in self.uris:
            raise NotApplicable(f"no address for {name} in this plan")
        return self.uris[name]

    @contextlib.contextmanager
    def client(self, uri=None, **options):
        """A client and this run's database."""
        with pymongo.MongoClient(uri or self.uri, **options) as client:
            yield client, client[self.database]

    @contextlib.contextmanager
    def faulty(self, **options):
        """A client that alone meets its fail points, and what it sends."""
        seen = Commands()
        name = "drivers " + uuid.uuid4().hex
        with self.client(appname=name, event_listeners=[seen], **options) as (client, db):
            yield client, db, seen, name


class Commands(monitoring.CommandListener):
    """Names of the commands sent."""

    def __init__(self):
        self.names = []

    def started(self, event):
        self.names.append(event.command_name)

    def succeeded(self, event):
        pass

    def failed(self, event):
        pass

    def count(self, name):
        return self.names.count(name)


@contextlib.contextmanager
def fail_point(client, application, commands, times=1, **data):
    """Switched off again, also after a failure."""
    client.admin.command(
        "configureFailPoint",
        "failCommand",
        mode={"times": times},
        data={"failCommands": commands, "appName": application, **data},
    )
    try:
        yield
    finally:
        client.admin.command("configureFailPoint", "failCommand", mode="off")


def with_option(uri, option):
    """The string with one option more."""
    if "?" in uri:
        return uri + ("" if uri.endswith("?") else "&") + option
    return uri + ("" if uri.endswith("/") else "/") + "?" + option


def with_password(uri, password):
    """The string with another password."""
    changed, count = re.subn(r"(://[^:/@]+:)[^@]*@", rf"\g<1>{password}@", uri, count=1)
    if count != 1:
        raise AssertionError("no password in the string")
    return changed


def equal(got, wanted, what="value"):
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r:.300}, wanted {wanted!r:.300}")


def fails(code, call, what="call"):
    """Runs a call that must fail with this server code; returns the error."""
    try:
        call()
    except pymongo.errors.PyMongoError as error:
        equal(getattr(error, "code", None), code, f"{what} failed with {error}")
        return error
    raise AssertionError(f"{what}: did not fail")
