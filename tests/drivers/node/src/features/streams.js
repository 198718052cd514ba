'use strict';

const { equal, notApplicable } = require('../expect');
const { startedCommands, count } = require('../watched');

const HOST_UNREACHABLE = 6;

async function changeStream(context) {
  const client = context.client({ monitorCommands: true });
  const things = context.database(client).collection('change_stream');
  await things.deleteMany({});
  const sent = startedCommands(client);
  const stream = things.watch([], { maxAwaitTimeMS: 500 });
  // The driver opens the cursor with the first read.
  equal(await stream.tryNext(), null, 'events before the first write');
  const seen = [];
  const insertAndSee = async (ids) => {
    for (const _id of ids) await things.insertOne({ _id });
    for (const _ of ids) seen.push((await stream.next()).documentKey._id);
  };
  await insertAndSee([1, 2, 3]);
  await context.failCommand(['getMore'], {
    errorCode: HOST_UNREACHABLE,
    errorLabels: ['ResumableChangeStreamError'],
  });
  await insertAndSee([4, 5, 6]);
  equal(seen, [1, 2, 3, 4, 5, 6], 'events');
  equal(await stream.tryNext(), null, 'events after the last write');
  equal(count(sent, 'aggregate'), 2, 'times the stream was opened');
  await stream.close();
}

async function tailable(context) {
  const db = context.newDatabase();
  const things = await db.createCollection('tailable', { capped: true, size: 100_000 });
  await things.insertOne({ _id: 0 });
  const cursor = things.find({}, { tailable: true, awaitData: true, maxAwaitTimeMS: 500 });
  const seen = [(await cursor.next())._id];
  const reading = (async () => {
    while (seen.length < 4) seen.push((await cursor.next())._id);
  })();
  for (const _id of [1, 2, 3]) await things.insertOne({ _id });
  await reading;
  equal(seen, [0, 1, 2, 3], 'documents of the tailable cursor');
  await cursor.close();
  await things.drop();
}

async function exhaust() {
  notApplicable('the driver has no exhaust cursors');
}

module.exports = { 'change-stream': changeStream, tailable, exhaust };
