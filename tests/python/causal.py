"""Sessions: own writes read on other members, and reads of one instant."""

from pymongo import ReadPreference
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from common import database, equal, main


def own_writes(client, db):
    elsewhere = db.get_collection("things", read_preference=ReadPreference.SECONDARY_PREFERRED)
    with client.start_session(causal_consistency=True) as session:
        for n in range(50):
            db.things.insert_one({"_id": n}, session=session)
            equal(elsewhere.count_documents({"_id": n}, session=session), 1, f"own write {n}")
        later = (session.cluster_time, session.operation_time)
    with client.start_session() as session:
        session.advance_cluster_time(later[0])
        session.advance_operation_time(later[1])
        equal(elsewhere.count_documents({}, session=session), 50)


def one_instant(client, db):
    things = db.get_collection("things", write_concern=WriteConcern("majority"))
    things.insert_one({"_id": "before"})
    with client.start_session(snapshot=True) as session:
        first = db.things.count_documents({}, session=session)
        things.insert_one({"_id": "after"})
        equal(db.things.count_documents({}, session=session), first, "the same instant")
    majority = db.get_collection("things", read_concern=ReadConcern("majority"))
    equal(majority.count_documents({}), first + 1)


def run(uri):
    with database(uri) as (client, db):
        db.create_collection("things")
        own_writes(client, db)
        one_instant(client, db)
    return {"passed": 2}


main(run)
