'use strict';

const { equal } = require('../expect');

async function unacknowledged(context) {
  const client = context.client({ maxPoolSize: 5 });
  const things = context.database(client).collection('unacknowledged');
  await things.deleteMany({});
  for (let n = 1; n <= 100; n += 1) {
    await things.insertOne({ _id: n }, { writeConcern: { w: 0 } });
  }
  equal(await things.countDocuments({}), 100, 'documents counted');
}

module.exports = { unacknowledged };
