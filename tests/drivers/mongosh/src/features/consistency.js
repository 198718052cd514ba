/* global features, connection, equal, plan */

features.causal = function () {
  const mongo = connection();
  const session = mongo.startSession({ causalConsistency: true });
  const things = session.getDatabase(plan.database).getCollection('causal');
  const majority = { writeConcern: { w: 'majority' } };
  things.deleteMany({}, majority);
  const preference = plan.secondaries ? 'secondaryPreferred' : 'primary';
  for (let n = 0; n < 50; n += 1) {
    things.updateOne({ _id: 1 }, { $set: { n } }, { upsert: true, ...majority });
    const found = things.find({ _id: 1 }).readPref(preference).readConcern('majority').toArray();
    equal('own write read back', [{ _id: 1, n }], found);
  }
  session.endSession();
};

features.snapshot = function () {
  const mongo = connection();
  const things = mongo.getDB(plan.database).getCollection('snapshot');
  const majority = { writeConcern: { w: 'majority' } };
  things.deleteMany({}, majority);
  things.insertOne({ _id: 1, state: 'old' }, majority);
  const session = mongo.startSession({ snapshot: true });
  const inside = session.getDatabase(plan.database).getCollection('snapshot');
  equal('first read of the session', 'old', inside.findOne({ _id: 1 }).state);
  things.updateOne({ _id: 1 }, { $set: { state: 'new' } }, majority);
  equal('read of the session after the write', 'old', inside.findOne({ _id: 1 }).state);
  equal('read outside the session', 'new', things.findOne({ _id: 1 }).state);
  session.endSession();
};
