'use strict';

const { MongoCompatibilityError } = require('mongodb');

const { equal, notApplicable } = require('../expect');

const majorityBothWays = { readConcern: { level: 'majority' }, writeConcern: { w: 'majority' } };

async function causal(context) {
  const client = context.client();
  const readPreference = context.hasSecondaries ? 'secondaryPreferred' : 'primary';
  const options = { ...majorityBothWays, readPreference };
  const things = context.database(client).collection('causal', options);
  await things.deleteMany({});
  const session = client.startSession({ causalConsistency: true });
  for (let n = 0; n < 50; n += 1) {
    await things.updateOne({ _id: 1 }, { $set: { n } }, { upsert: true, session });
    equal((await things.findOne({ _id: 1 }, { session }))?.n, n, 'own write read back');
  }
  await session.endSession();
}

/** Drivers before 7 ask a load-balanced topology for its version, which it does not have. */
async function snapshot(context) {
  try {
    await readSnapshot(context);
  } catch (error) {
    if (context.face !== 'balanced' || !(error instanceof MongoCompatibilityError)) throw error;
    notApplicable(`in load-balanced mode this driver says: ${error.message}`);
  }
}

async function readSnapshot(context) {
  const client = context.client();
  const things = context.database(client).collection('snapshot', { writeConcern: { w: 'majority' } });
  await things.deleteMany({});
  await things.insertOne({ _id: 1, state: 'old' });
  const session = client.startSession({ snapshot: true });
  const seen = async (how) => (await things.findOne({ _id: 1 }, how)).state;
  equal(await seen({ session }), 'old', 'first read of the session');
  await things.updateOne({ _id: 1 }, { $set: { state: 'new' } });
  equal(await seen({ session }), 'old', 'read of the session after the write');
  equal(await seen({}), 'new', 'read outside the session');
  await session.endSession();
}

module.exports = { causal, snapshot };
