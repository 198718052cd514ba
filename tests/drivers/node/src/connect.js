'use strict';

// A program that has its connection string from its environment, as the shim leaves it.

const { MongoClient, ObjectId } = require('mongodb');

async function writeAndRead(client, id, line) {
  const db = client.db();
  line.database = db.databaseName;
  const hello = await client.db('admin').command({ hello: 1 });
  line.weir = hello.weir ?? null;
  const things = db.collection('shim', { readPreference: 'primary' });
  const document = { _id: new ObjectId(), text: id };
  await things.insertOne(document);
  const found = await things.findOne({ _id: document._id });
  if (found?.text !== id) throw new Error('what was written is not what is read');
}

async function runCase({ id, variable }) {
  const line = { id, outcome: 'ok', database: null, weir: null, message: '' };
  let client;
  try {
    client = new MongoClient(process.env[variable]);
    await writeAndRead(client, id, line);
  } catch (error) {
    line.outcome = 'error';
    line.message = `${error.name}: ${error.message}`.slice(0, 300);
  } finally {
    await client?.close();
  }
  return line;
}

async function runConnect(plan, say) {
  for (const each of plan.cases) say(await runCase(each));
}

module.exports = { runConnect };
