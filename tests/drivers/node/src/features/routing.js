'use strict';

const { ReadPreference } = require('mongodb');

const { equal, ok, rejected } = require('../expect');

const FAILED_TO_SATISFY_READ_PREFERENCE = 133;

/** A majority would do for who reads in the same session; these reads do not. */
async function writtenEverywhere(context, name) {
  const w = context.hasSecondaries ? 3 : 1;
  const things = context.newDatabase().collection(name, { writeConcern: { w } });
  await things.deleteMany({});
  await things.insertMany([1, 2, 3].map((n) => ({ _id: n })));
}

async function readAll(context, name, readPreference) {
  const client = context.client({ serverSelectionTimeoutMS: 2000 });
  return context.database(client).collection(name, { readPreference }).find({}).sort({ _id: 1 }).toArray();
}

async function refusedSoon(context, name, readPreference) {
  const began = Date.now();
  const error = await rejected(() => readAll(context, name, readPreference), 'tags that match no member');
  const took = Date.now() - began;
  ok(took < 3000, `the error came after ${took} ms`);
  if (context.face !== 'direct') {
    equal(error.code, FAILED_TO_SATISFY_READ_PREFERENCE, `code of "${error.message}"`);
  }
}

async function readPreference(context) {
  const name = 'read_preference';
  const all = [{ _id: 1 }, { _id: 2 }, { _id: 3 }];
  await writtenEverywhere(context, name);
  const read = (mode, tags) => readAll(context, name, new ReadPreference(mode, tags));
  equal(await read('secondaryPreferred'), all, 'read with secondaryPreferred');
  equal(await read('nearest'), all, 'read with nearest');
  if (!context.hasSecondaries) return;
  equal(await read('secondary'), all, 'read with secondary');
  equal(await read('secondary', [{ region: 'east' }]), all, 'read with tags');
  equal(await read('secondary', [{ region: 'nowhere' }, {}]), all, 'read that falls back to {}');
  await refusedSoon(context, name, new ReadPreference('secondary', [{ region: 'nowhere' }]));
}

async function maxStaleness(context) {
  const name = 'max_staleness';
  await writtenEverywhere(context, name);
  const within = (seconds) =>
    readAll(context, name, new ReadPreference('secondaryPreferred', undefined, { maxStalenessSeconds: seconds }));
  equal((await within(90)).length, 3, 'read with 90 s');
  const error = await rejected(() => within(1), 'read with 1 s');
  ok(/staleness/i.test(error.message), `not about staleness: ${error.message}`);
}

module.exports = { 'read-preference': readPreference, 'max-staleness': maxStaleness };
