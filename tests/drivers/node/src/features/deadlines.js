'use strict';

const { equal, ok, rejectedWithCode } = require('../expect');

const MAX_TIME_MS_EXPIRED = 50;

/**
 * With `maxTimeMS`: `timeoutMS` does nothing in any of the three versions. 5.9 never had it, the
 * others still take it and say in their source that it is a no-op.
 */
async function timeout(context) {
  context.sayAlso('by maxTimeMS: timeoutMS does nothing in this driver');
  const things = await context.emptyCollection('timeout');
  await things.insertOne({ _id: 1 });
  const slow = { $where: 'sleep(2000) || true' };
  const began = Date.now();
  await rejectedWithCode(
    () => things.findOne(slow, { maxTimeMS: 300 }),
    MAX_TIME_MS_EXPIRED,
    'an operation that takes 2 s'
  );
  const took = Date.now() - began;
  ok(took >= 250 && took <= 1500, `the error came after ${took} ms`);
  equal(await things.findOne({}), { _id: 1 }, 'the next operation');
}

module.exports = { timeout };
