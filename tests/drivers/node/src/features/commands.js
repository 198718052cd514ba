'use strict';

const { equal, ok, rejectedWithCode } = require('../expect');
const { disturbances } = require('../watched');

const COMMAND_NOT_FOUND = 59;

async function commands(context) {
  const db = context.newDatabase();
  await db.collection('commands').deleteMany({});
  await db.collection('commands').insertOne({ _id: 1 });
  const run = (command) => db.command(command);

  equal((await run({ ping: 1 })).ok, 1, 'ping');
  ok((await run({ hello: 1 })).isWritablePrimary, 'hello: not writable');
  ok(/^\d+\.\d+/.test((await run({ buildInfo: 1 })).version), 'buildInfo has no version');
  ok((await run({ connectionStatus: 1 })).authInfo, 'connectionStatus has no authInfo');
  equal((await run({ dbStats: 1 })).db, db.databaseName, 'dbStats');
  equal((await run({ collStats: 'commands' })).count, 1, 'collStats');
  const explained = await db.collection('commands').find({ _id: 1 }).explain('queryPlanner');
  ok(explained.queryPlanner, 'explain has no queryPlanner');
  const listed = await db.listCollections({ name: 'commands' }).toArray();
  equal(listed.map(({ name }) => name), ['commands'], 'listCollections with a filter');
  await rejectedWithCode(() => run({ noSuchCommand: 1 }), COMMAND_NOT_FOUND, 'an unknown command');
}

async function pool(context) {
  const client = context.client();
  const seen = disturbances(client);
  let created = 0;
  client.on('connectionCreated', () => (created += 1));
  const things = context.database(client).collection('pool');
  await things.deleteMany({});
  for (let n = 0; n < 10; n += 1) {
    await things.insertOne({ _id: n });
    equal((await things.findOne({ _id: n }))?._id, n, 'read back');
  }
  ok(created > 0, 'no pool event was seen');
  equal(seen, { poolCleared: 0, unknown: 0 }, 'disturbances');
}

module.exports = { commands, pool };
