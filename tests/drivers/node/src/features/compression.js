'use strict';

const { equal, notApplicable, ok } = require('../expect');

const packages = { snappy: 'snappy', zstd: '@mongodb-js/zstd', zlib: 'node:zlib' };

function demandCodec(name) {
  try {
    require(packages[name]);
  } catch (error) {
    notApplicable(`the codec ${name} is not installed: ${error.message.split('\n')[0]}`);
  }
}

async function compressed(context, name) {
  demandCodec(name);
  const db = context.newDatabase({}, context.uriWith(`compressors=${name}`));
  // An offer that is not taken up would leave everything uncompressed, and unnoticed.
  const { compression } = await db.admin().command({ hello: 1, compression: [name] });
  ok(compression?.includes(name), `the other side does not offer ${name}`);
  const things = db.collection(`compressed_${name}`);
  await things.deleteMany({});
  const text = `${name} `.repeat(Math.ceil(1_000_000 / (name.length + 1)));
  await things.insertMany([1, 2, 3].map((n) => ({ _id: n, text: text + n })));
  for (const { _id, text: got } of await things.find().toArray()) {
    equal(got === text + _id, true, `document ${_id} unchanged`);
  }
  equal(await things.countDocuments({}), 3, 'documents');
}

module.exports = Object.fromEntries(
  ['snappy', 'zlib', 'zstd'].map((name) => [name, (context) => compressed(context, name)])
);
