'use strict';

const { equal, rejectedWithCode } = require('../expect');

const DUPLICATE_KEY = 11000;

async function insertAndFind(things) {
  await things.insertOne({ _id: 0, n: 0, kind: 'even' });
  const more = Array.from({ length: 9 }, (_, i) => ({
    _id: i + 1,
    n: i + 1,
    kind: i % 2 ? 'even' : 'odd',
  }));
  equal((await things.insertMany(more)).insertedCount, 9, 'inserted');
  const found = await things
    .find({ kind: 'even' })
    .sort({ n: -1 })
    .skip(1)
    .limit(2)
    .project({ _id: 0, n: 1 })
    .toArray();
  equal(found, [{ n: 6 }, { n: 4 }], 'sort, skip, limit and projection');
  equal(await things.countDocuments({ kind: 'odd' }), 5, 'countDocuments');
  equal(await things.estimatedDocumentCount(), 10, 'estimatedDocumentCount');
  equal((await things.distinct('kind')).sort(), ['even', 'odd'], 'distinct');
  await rejectedWithCode(() => things.insertOne({ _id: 0 }), DUPLICATE_KEY, 'the same _id again');
}

async function update(things) {
  equal((await things.updateOne({ _id: 1 }, { $set: { x: 1 } })).modifiedCount, 1, 'updateOne');
  equal((await things.updateMany({ kind: 'odd' }, { $inc: { n: 10 } })).modifiedCount, 5, 'updateMany');
  equal((await things.replaceOne({ _id: 2 }, { n: 22 })).modifiedCount, 1, 'replaceOne');
  equal(await things.findOne({ _id: 2 }), { _id: 2, n: 22 }, 'replaced');
  const upserted = await things.updateOne({ _id: 99 }, { $set: { n: 99 } }, { upsert: true });
  equal(upserted.upsertedId, 99, 'upsert');
}

async function findAndChange(things) {
  // Without it, drivers before 6 answer with the server's whole reply.
  const bare = { includeResultMetadata: false };
  const options = { ...bare, returnDocument: 'after' };
  const updated = await things.findOneAndUpdate({ _id: 1 }, { $inc: { n: 1 } }, options);
  equal(updated.n, 12, 'findOneAndUpdate');
  const replaced = await things.findOneAndReplace({ _id: 3 }, { n: 33 }, options);
  equal(replaced, { _id: 3, n: 33 }, 'findOneAndReplace');
  const deleted = await things.findOneAndDelete({ _id: 99 }, bare);
  equal(deleted, { _id: 99, n: 99 }, 'findOneAndDelete');
}

async function remove(things) {
  equal((await things.deleteOne({ _id: 1 })).deletedCount, 1, 'deleteOne');
  equal((await things.deleteMany({ kind: 'even' })).deletedCount, 4, 'deleteMany');
  equal(await things.countDocuments({}), 5, 'left');
}

async function indexes(things) {
  const names = async () => (await things.indexes()).map((index) => index.name);
  equal(await things.createIndex({ n: 1 }), 'n_1', 'createIndex');
  equal(await names(), ['_id_', 'n_1'], 'indexes');
  await things.dropIndex('n_1');
  equal(await names(), ['_id_'], 'indexes after the drop');
}

async function crud(context) {
  const things = await context.emptyCollection('crud');
  await insertAndFind(things);
  await update(things);
  await findAndChange(things);
  await remove(things);
  await indexes(things);
}

async function outMerge(context) {
  const things = await context.emptyCollection('source');
  const db = context.newDatabase();
  const [copied, merged] = [db.collection('copied'), db.collection('merged')];
  await Promise.all([copied.deleteMany({}), merged.deleteMany({})]);
  await things.insertMany([1, 2, 3].map((n) => ({ _id: n, n })));
  await merged.insertOne({ _id: 3, old: true });

  await things.aggregate([{ $match: { n: { $gt: 1 } } }, { $out: 'copied' }]).toArray();
  const byId = { sort: { _id: 1 } };
  equal(await copied.find({}, byId).toArray(), [{ _id: 2, n: 2 }, { _id: 3, n: 3 }], '$out');
  await things.aggregate([{ $match: { n: { $gt: 1 } } }, { $merge: { into: 'merged' } }]).toArray();
  equal(
    await merged.find({}, byId).toArray(),
    [{ _id: 2, n: 2 }, { _id: 3, old: true, n: 3 }],
    '$merge'
  );
}

async function largeResults(context) {
  const things = await context.emptyCollection('large');
  const payload = (n) => String(n).padStart(8, '0').repeat(1280);
  for (let start = 0; start < 2000; start += 500) {
    const some = Array.from({ length: 500 }, (_, i) => ({ _id: start + i, payload: payload(start + i) }));
    await things.insertMany(some);
  }
  let expected = 0;
  for await (const { _id, payload: got } of things.find().sort({ _id: 1 }).batchSize(50)) {
    equal(_id, expected, '_id');
    if (got !== payload(_id)) throw new Error(`document ${_id} carries another payload`);
    expected += 1;
  }
  equal(expected, 2000, 'documents read');

  const big = 'x'.repeat(12_000_000);
  await things.insertOne({ _id: 'big', big });
  if ((await things.findOne({ _id: 'big' })).big !== big) throw new Error('the 12 MB came back changed');
  await things.drop();
}

module.exports = { crud, 'out-merge': outMerge, 'large-results': largeResults };
