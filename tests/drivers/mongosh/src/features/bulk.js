/* global features, connection, emptyCollection, equal, notApplicable, rejected, plan */

/** Four inserts of which the third repeats the first, then an update. */
function withErrorInTheMiddle(things, ordered) {
  things.deleteMany({});
  const operations = [];
  for (const _id of [1, 2, 1, 3]) operations.push({ insertOne: { document: { _id } } });
  operations.push({ updateOne: { filter: { _id: 2 }, update: { $set: { x: 1 } } } });
  const error = rejected('bulkWrite', () => things.bulkWrite(operations, { ordered }));
  const { insertedCount, modifiedCount } = error.result;
  const failed = [].concat(error.writeErrors).map(({ index, code }) => ({ index, code }));
  return { insertedCount, modifiedCount, failed };
}

features.bulk = function () {
  const things = emptyCollection('bulk');
  const failed = [{ index: 2, code: 11000 }];
  equal('ordered', { insertedCount: 2, modifiedCount: 0, failed }, withErrorInTheMiddle(things, true));
  equal('unordered', { insertedCount: 3, modifiedCount: 1, failed }, withErrorInTheMiddle(things, false));
  things.deleteMany({});
  const many = [];
  for (let _id = 0; _id < 10000; _id += 1) many.push({ _id });
  equal('inserted in one call', 10000, Object.keys(things.insertMany(many).insertedIds).length);
  equal('counted', 10000, things.countDocuments({}));
};

features['client-bulk-write'] = function () {
  const mongo = connection();
  if (!mongo.bulkWrite) notApplicable('the shell has no bulkWrite of the connection');
  const { maxWireVersion } = plan.server ?? {};
  if (!(maxWireVersion >= 25)) {
    notApplicable(`the server has no bulkWrite command (maxWireVersion ${maxWireVersion})`);
  }
  const [one, two] = [emptyCollection('bulk_one'), emptyCollection('bulk_two')];
  const namespaces = [`${plan.database}.bulk_one`, `${plan.database}.bulk_two`];
  const done = mongo.bulkWrite([
    { name: 'insertOne', namespace: namespaces[0], document: { _id: 1 } },
    { name: 'insertOne', namespace: namespaces[1], document: { _id: 1 } },
    { name: 'updateOne', namespace: namespaces[1], filter: { _id: 1 }, update: { $set: { x: 1 } } },
  ]);
  equal('inserted and modified', [2, 1], [done.insertedCount, done.modifiedCount]);
  equal('the first namespace', [{ _id: 1 }], one.find().toArray());
  equal('the second namespace', [{ _id: 1, x: 1 }], two.find().toArray());
};
