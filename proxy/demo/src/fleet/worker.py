"""One worker process of a task: a web server's threads over one MongoClient.

Reads its plan as one line of JSON and says that it is ready. At the next line
it starts: it makes its client, and says that it is warm once its pool is full
or the server refused it a connection. At the third line the exam begins. A student's request is due at a time; a thread takes it, and the
time counts from when it was due, so waiting for a thread is part of it. Every
tenth of a second what is new is printed as one line of JSON. Ends when its
input ends.
"""

import heapq
import json
import os
import queue
import sys
import threading
import time

import pymongo
from pymongo import monitoring
from pymongo.errors import AutoReconnect, DuplicateKeyError, NetworkTimeout
from pymongo.errors import OperationFailure, PyMongoError

OPS = ["find_user", "fetch_quiz", "start_attempt"]
RELOAD = 1.0
REPORT = 0.1
LAST_ANSWERS = 3.0
# A pool that is not full by then fills while the exam runs.
WARM = 20.0


class News:
    """What has happened since the last line."""

    def __init__(self):
        self.lock = threading.Lock()
        self.clear()

    def clear(self):
        self.counts = {}
        self.times = {}
        self.error = None

    def count(self, what):
        with self.lock:
            self.counts[what] = self.counts.get(what, 0) + 1

    def time(self, op, seconds):
        with self.lock:
            self.times.setdefault(op, []).append(round(seconds, 6))

    def failed(self, error):
        self.count("failed")
        if isinstance(error, OperationFailure):
            with self.lock:
                self.error = self.error or str(error)

    def say(self):
        with self.lock:
            news = dict(self.counts)
            if self.times:
                news["times"] = self.times
            if self.error:
                news["error"] = self.error
            self.clear()
        if news:
            print(json.dumps(news), flush=True)


class Sockets(monitoring.ConnectionPoolListener, monitoring.ServerHeartbeatListener):
    """Counts sockets that were closed before they could be used."""

    def __init__(self, news, enough):
        self.news = news
        self.enough = enough
        self.opening = set()
        self.open = 0
        self.warm = threading.Event()

    def refused(self):
        self.news.count("refused")
        self.warm.set()

    def connection_created(self, event):
        self.opening.add(event.connection_id)

    def connection_ready(self, event):
        self.opening.discard(event.connection_id)
        self.open += 1
        if self.open >= self.enough:
            self.warm.set()

    def connection_closed(self, event):
        if event.connection_id in self.opening:
            self.opening.discard(event.connection_id)
            self.refused()

    def failed(self, event):
        error = event.reply
        if isinstance(error, AutoReconnect) and not isinstance(error, NetworkTimeout):
            self.refused()

    def nothing(self, _event):
        pass

    pool_created = pool_ready = pool_cleared = pool_closed = nothing
    connection_check_out_started = connection_check_out_failed = nothing
    connection_checked_out = connection_checked_in = nothing
    started = succeeded = nothing


class Student:
    def __init__(self, plan):
        self.id, self.arrival, self.thinks, self.choices = plan
        self.step = 0
        self.since = None
        self.reloaded = False


class Worker:
    def __init__(self, plan, news):
        self.news = news
        self.plan = plan
        self.patience = plan["patience"]
        self.students = [Student(one) for one in plan["students"]]
        self.due = []
        self.order = 0
        self.changed = threading.Condition()
        self.ready = queue.SimpleQueue()
        self.busy = 0
        self.closing = False

    def start(self):
        """Never raises: a server that takes no more connections is what the
        demo shows, and a worker without any counts its students as refused."""
        limit = int(self.patience * 1000)
        sockets = Sockets(self.news, self.plan["threads"])
        self.client = pymongo.MongoClient(
            self.plan["uri"],
            appname="quiz",
            minPoolSize=self.plan["threads"],
            serverSelectionTimeoutMS=limit,
            waitQueueTimeoutMS=limit,
            event_listeners=[sockets],
        )
        self.quiz = self.client[self.plan["database"]]
        spawn(self.connect)
        sockets.warm.wait(WARM)

    def begin(self):
        now = time.monotonic()
        for student in self.students:
            self.later(now + student.arrival + student.thinks[0], student)
        for _ in range(self.plan["threads"]):
            spawn(self.serve)
        spawn(self.dispatch)

    def connect(self):
        """How long until this worker can use its database."""
        began = time.monotonic()
        while True:
            try:
                self.client.admin.command("ping")
                if not self.closing:
                    self.news.time("connect", time.monotonic() - began)
                return
            except PyMongoError:
                time.sleep(RELOAD)

    def later(self, at, student):
        with self.changed:
            self.order += 1
            heapq.heappush(self.due, (at, self.order, student))
            self.changed.notify()

    def dispatch(self):
        """Hands requests that are due to the threads."""
        while True:
            with self.changed:
                while not self.due or self.due[0][0] > time.monotonic():
                    wait = self.due[0][0] - time.monotonic() if self.due else None
                    self.changed.wait(wait)
                at, _, student = heapq.heappop(self.due)
            if student.since is None:
                student.since = at
                if student.step == 0:
                    self.news.count("arrived")
            self.ready.put(student)

    def serve(self):
        while True:
            student = self.ready.get()
            with self.changed:
                if self.closing:
                    return
                self.busy += 1
            try:
                if self.is_too_late(student):
                    # Nobody waits for this page any more.
                    self.news.count("failed")
                    self.news.count("gave_up")
                    continue
                self.request(student)
            except DuplicateKeyError as error:
                # The answer to an earlier try was lost, its effect was not.
                if student.reloaded:
                    self.succeeded(student)
                else:
                    self.failed(student, error)
            except PyMongoError as error:
                self.failed(student, error)
            else:
                self.succeeded(student)
            finally:
                with self.changed:
                    self.busy -= 1
                    self.changed.notify_all()

    def is_too_late(self, student):
        return time.monotonic() >= student.since + self.patience

    def close(self):
        """What is under way may end: an answer that nobody hears would be
        found in the database and never have been confirmed."""
        with self.changed:
            self.closing = True
            self.changed.wait_for(lambda: not self.busy, LAST_ANSWERS)

    def request(self, student):
        if student.step == 0:
            self.quiz.users.find_one({"_id": student.id})
        elif student.step == 1:
            list(self.quiz.questions.find({"quiz": self.plan["quiz"]}).sort("number"))
        elif student.step == 2:
            attempt = {"_id": student.id, "quiz": self.plan["quiz"], "answers": []}
            self.quiz.attempts.insert_one(attempt)
        else:
            question = student.step - len(OPS) + 1
            answer = {"question": question, "choice": student.choices[question - 1]}
            self.quiz.attempts.update_one(
                {"_id": student.id}, {"$push": {"answers": answer}}
            )

    def succeeded(self, student):
        now = time.monotonic()
        if now >= student.since + self.patience:
            self.news.count("failed")
            self.news.count("gave_up")
            return
        op = OPS[student.step] if student.step < len(OPS) else "submit_answer"
        self.news.time(op, now - student.since)
        student.step += 1
        student.since = None
        student.reloaded = False
        if student.step == len(student.thinks):
            self.news.count("served")
        else:
            self.later(now + student.thinks[student.step], student)

    def failed(self, student, error):
        self.news.failed(error)
        again = time.monotonic() + RELOAD
        if again >= student.since + self.patience:
            self.news.count("gave_up")
        else:
            student.reloaded = True
            self.later(again, student)


def spawn(target):
    threading.Thread(target=target, daemon=True).start()


def main():
    news = News()
    worker = Worker(json.loads(sys.stdin.readline()), news)
    print(json.dumps({"ready": True}), flush=True)
    if not sys.stdin.readline():
        return

    def report():
        while True:
            time.sleep(REPORT)
            news.say()

    spawn(report)
    worker.start()
    print(json.dumps({"ready": True}), flush=True)
    if not sys.stdin.readline():
        return
    worker.begin()
    sys.stdin.read()
    worker.close()
    news.say()
    # Threads may still wait for a server that never answers.
    os._exit(0)


main()
