'use strict';

const { equal, ok } = require('../expect');

async function sessions(context) {
  const client = context.client({ monitorCommands: true });
  const things = context.database(client).collection('sessions');
  await things.deleteMany({});
  const seen = [];
  client.on('commandStarted', ({ commandName, command }) => seen.push({ commandName, command }));

  const session = client.startSession();
  await things.insertOne({ _id: 1 }, { session });
  await things.updateOne({ _id: 1 }, { $set: { x: 1 } }, { session });
  equal(await things.findOne({ _id: 1 }, { session }), { _id: 1, x: 1 }, 'read in the session');
  const id = (one) => one.command.lsid?.id?.toString('hex');
  equal([...new Set(seen.map(id))].length, 1, 'sessions of three operations');
  equal(id(seen[0]), session.id.id.toString('hex'), 'session of the first operation');
  await session.endSession();

  const inParallel = Array.from({ length: 50 }, (_, n) => things.insertOne({ n }));
  equal((await Promise.all(inParallel)).length, 50, 'implicit sessions');
  equal(await things.countDocuments({ n: { $exists: true } }), 50, 'documents of implicit sessions');
  await client.close();
  ok(seen.some(({ commandName }) => commandName === 'endSessions'), 'endSessions was not sent');
}

async function concurrent(context) {
  const things = await context.emptyCollection('concurrent');
  const task = async (owner) => {
    const payload = `${owner}-`.repeat(500);
    for (let round = 0; round < 5; round += 1) {
      await things.insertMany([0, 1, 2].map((n) => ({ owner, round, n, payload })));
      const mine = await things.find({ owner, round }).batchSize(2).toArray();
      equal(mine.length, 3, `documents of ${owner}`);
      ok(mine.every((one) => one.owner === owner && one.payload === payload), 'read the payload of another');
    }
  };
  await Promise.all(Array.from({ length: 50 }, (_, owner) => task(owner)));
  equal(await things.countDocuments({}), 750, 'documents');
}

module.exports = { sessions, concurrent };
