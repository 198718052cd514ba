"""Which member serves a read. Arguments: a mode, and tags as key:value,key:value.

Prints the ports that served 20 reads; the caller knows whose they are.
"""

from pymongo.read_preferences import make_read_preference, read_pref_mode_from_name

from common import database, equal, main


def run(uri, mode, *tags):
    tag_sets = [dict(pair.split(":") for pair in each.split(",")) for each in tags] or None
    preference = make_read_preference(read_pref_mode_from_name(mode), tag_sets)
    with database(uri) as (client, db):
        db.things.insert_many([{"_id": n} for n in range(30)])
        ports = set()
        with client.start_session(causal_consistency=True) as session:
            # The session makes the chosen member wait for our own writes.
            db.things.update_one({"_id": 0}, {"$set": {"x": 1}}, session=session)
            there = db.get_collection("things", read_preference=preference)
            for _ in range(20):
                stats = next(there.aggregate([{"$collStats": {}}], session=session))
                ports.add(int(stats["host"].rsplit(":", 1)[1]))
                # A cursor of several batches stays with its member.
                found = list(there.find({}, batch_size=7, session=session))
                equal(len(found), 30)
    return {"ports": sorted(ports)}


main(run)
