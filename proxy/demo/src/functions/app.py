"""The exam's function, as teams write them: one client, made when the module is loaded.

Nothing in it knows of Weir. An invocation is one request of one student.
"""

import os

from pymongo import MongoClient, monitoring
from pymongo.errors import AutoReconnect, DuplicateKeyError, NetworkTimeout
from pymongo.errors import OperationFailure, PyMongoError


class Refused(monitoring.ConnectionPoolListener, monitoring.ServerHeartbeatListener):
    """Counts sockets that the server closed before they could be used."""

    def __init__(self):
        self.opening = set()
        self.count = 0

    def connection_created(self, event):
        self.opening.add(event.connection_id)

    def connection_ready(self, event):
        self.opening.discard(event.connection_id)

    def connection_closed(self, event):
        if event.connection_id in self.opening:
            self.opening.discard(event.connection_id)
            self.count += 1

    def failed(self, event):
        error = event.reply
        if isinstance(error, AutoReconnect) and not isinstance(error, NetworkTimeout):
            self.count += 1

    def take(self):
        count, self.count = self.count, 0
        return count

    def nothing(self, _event):
        pass

    pool_created = pool_ready = pool_cleared = pool_closed = nothing
    connection_check_out_started = connection_check_out_failed = nothing
    connection_checked_out = connection_checked_in = nothing
    started = succeeded = nothing


refused = Refused()
client = MongoClient(os.getenv("MONGO_AUTH_CREDENTIALS"), event_listeners=[refused])
quiz = client[os.environ["QUIZ_DATABASE"]]


def connect(event):
    client.admin.command("ping")


def find_user(event):
    quiz.users.find_one({"_id": event["student"]})


def fetch_quiz(event):
    list(quiz.questions.find({"quiz": event["quiz"]}).sort("number"))


def start_attempt(event):
    attempt = {"_id": event["student"], "quiz": event["quiz"], "answers": []}
    quiz.attempts.insert_one(attempt)


def submit_answer(event):
    answer = {"question": event["question"], "choice": event["choice"]}
    quiz.attempts.update_one({"_id": event["student"]}, {"$push": {"answers": answer}})


REQUESTS = [connect, find_user, fetch_quiz, start_attempt, submit_answer]


def handler(event, context):
    said = {"ok": False}
    try:
        REQUESTS[event["request"]](event)
        said["ok"] = True
    except DuplicateKeyError:
        said["duplicate"] = True
    except PyMongoError as error:
        said["error"] = str(error)
        # It has nothing to do with connecting.
        said["odd"] = isinstance(error, OperationFailure)
    said["refused"] = refused.take()
    hosts = client.topology_description.server_descriptions()
    said["hosts"] = ["%s:%s" % host for host in hosts]
    return said
