'use strict';

const { MongoBulkWriteError } = require('mongodb');

const { equal, notApplicable, ok, rejected } = require('../expect');

const CLIENT_BULK_WRITE = 25;

/** Four inserts of which the third repeats the first, then an update. */
const operations = [
  { insertOne: { document: { _id: 1 } } },
  { insertOne: { document: { _id: 2 } } },
  { insertOne: { document: { _id: 1 } } },
  { insertOne: { document: { _id: 3 } } },
  { updateOne: { filter: { _id: 2 }, update: { $set: { x: 1 } } } },
];

async function withErrorInTheMiddle(things, ordered) {
  await things.deleteMany({});
  const error = await rejected(() => things.bulkWrite(operations, { ordered }), 'bulkWrite');
  ok(error instanceof MongoBulkWriteError, `expected a MongoBulkWriteError, got ${error}`);
  const { insertedCount, modifiedCount } = error.result;
  const failed = [].concat(error.writeErrors).map(({ index, code }) => ({ index, code }));
  return { insertedCount, modifiedCount, failed };
}

async function bulk(context) {
  const things = await context.emptyCollection('bulk');
  const failed = [{ index: 2, code: 11000 }];
  equal(
    await withErrorInTheMiddle(things, true),
    { insertedCount: 2, modifiedCount: 0, failed },
    'ordered'
  );
  equal(
    await withErrorInTheMiddle(things, false),
    { insertedCount: 3, modifiedCount: 1, failed },
    'unordered'
  );
  await things.deleteMany({});
  const many = Array.from({ length: 10_000 }, (_, n) => ({ _id: n }));
  equal((await things.insertMany(many)).insertedCount, 10_000, 'inserted in one call');
  equal(await things.countDocuments({}), 10_000, 'counted');
}

async function clientBulkWrite(context) {
  const client = context.client();
  if (!client.bulkWrite) notApplicable('the driver has no bulkWrite of the client');
  if (context.maxWireVersion < CLIENT_BULK_WRITE) {
    notApplicable(`the server has no bulkWrite command (maxWireVersion ${context.maxWireVersion})`);
  }
  const [one, two] = ['bulk_one', 'bulk_two'].map((name) => context.database(client).collection(name));
  await Promise.all([one.deleteMany({}), two.deleteMany({})]);
  const result = await client.bulkWrite([
    { name: 'insertOne', namespace: one.namespace, document: { _id: 1 } },
    { name: 'insertOne', namespace: two.namespace, document: { _id: 1 } },
    { name: 'updateOne', namespace: two.namespace, filter: { _id: 1 }, update: { $set: { x: 1 } } },
  ]);
  equal([result.insertedCount, result.modifiedCount], [2, 1], 'inserted and modified');
  equal(await one.find().toArray(), [{ _id: 1 }], 'the first namespace');
  equal(await two.find().toArray(), [{ _id: 1, x: 1 }], 'the second namespace');
}

module.exports = { bulk, 'client-bulk-write': clientBulkWrite };
