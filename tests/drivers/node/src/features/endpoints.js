'use strict';

// Other ways in than the plan's own connection string.

const { equal } = require('../expect');

async function crudThrough(context, endpoint) {
  const client = context.client({}, context.uri(endpoint));
  const things = context.database(client).collection(`road_${endpoint}`);
  await things.deleteMany({});
  await things.insertMany(Array.from({ length: 100 }, (_, n) => ({ _id: n, n })));
  equal((await things.updateMany({ n: { $lt: 10 } }, { $inc: { n: 1 } })).modifiedCount, 10, 'updated');
  equal((await things.find().batchSize(7).toArray()).length, 100, 'read in many batches');
  equal((await things.deleteOne({ _id: 0 })).deletedCount, 1, 'deleted');
  return { client, things };
}

async function balanced(context) {
  const { client, things } = await crudThrough(context, 'balanced');
  const session = client.startSession();
  await session.withTransaction(async () => {
    await things.insertOne({ _id: 'in a transaction' }, { session });
    await things.updateOne({ _id: 5 }, { $set: { n: 500 } }, { session });
  });
  await session.endSession();
  equal((await things.findOne({ _id: 5 })).n, 500, 'updated in the transaction');
  equal(await things.countDocuments({ _id: 'in a transaction' }), 1, 'inserted in the transaction');
}

module.exports = {
  tls: (context) => crudThrough(context, 'tls'),
  unix: (context) => crudThrough(context, 'unix'),
  balanced,
};
