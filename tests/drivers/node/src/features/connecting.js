'use strict';

const { equal, ok, rejectedWithCode } = require('../expect');

const API_STRICT_ERROR = 323;
const AUTHENTICATION_FAILED = 18;

async function pingWriteRead(context, options, uri) {
  const client = context.client(options, uri);
  const db = context.database(client);
  equal((await db.command({ ping: 1 })).ok, 1, 'ping');
  const things = db.collection('connect');
  const { insertedId } = await things.insertOne({ text: 'hello' });
  equal((await things.findOne({ _id: insertedId }))?.text, 'hello', 'document read back');
  await client.close();
}

async function connect(context) {
  for (let round = 0; round < 3; round += 1) await pingWriteRead(context);
}

async function serverApi(context) {
  const options = { serverApi: { version: '1' } };
  for (let round = 0; round < 3; round += 1) await pingWriteRead(context, options);
}

async function serverApiStrict(context) {
  const serverApi = { version: '1', strict: true, deprecationErrors: true };
  const db = context.newDatabase({ serverApi });
  const things = db.collection('strict');
  await things.deleteMany({});
  await things.insertOne({ _id: 1, n: 1 });
  equal((await things.updateOne({ _id: 1 }, { $inc: { n: 1 } })).modifiedCount, 1, 'updated');
  equal(await things.find().toArray(), [{ _id: 1, n: 2 }], 'found');
  equal((await things.deleteOne({ _id: 1 })).deletedCount, 1, 'deleted');
  ok((await db.admin().listDatabases()).databases.length > 0, 'no databases listed');
  await rejectedWithCode(() => db.command({ collStats: 'strict' }), API_STRICT_ERROR, 'collStats');
}

async function login(context, name) {
  const right = context.uri(name);
  const wrong = right.replace(/:\/\/([^:@]+):[^@]*@/, '://$1:not-the-password@');
  ok(wrong !== right, `the uri "${name}" has no password`);
  await pingWriteRead(context, {}, right);
  await rejectedWithCode(
    () => pingWriteRead(context, {}, wrong),
    AUTHENTICATION_FAILED,
    'a wrong password'
  );
  await pingWriteRead(context, {}, right);
}

module.exports = {
  connect,
  'server-api': serverApi,
  'server-api-strict': serverApiStrict,
  'scram-sha-256': (context) => login(context, 'sha256'),
  'scram-sha-1': (context) => login(context, 'sha1'),
};
