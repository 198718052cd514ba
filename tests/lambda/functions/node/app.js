// A function as teams write it: one client, made when the module is loaded.
const { MongoClient } = require('mongodb');

const client = new MongoClient(process.env.MONGO_AUTH_CREDENTIALS);

exports.handler = async (event, context) => {
  const began = process.hrtime.bigint();
  const things = client.db('lambda_functions').collection('node');
  const answer = { uri: process.env.MONGO_AUTH_CREDENTIALS, pid: process.pid };
  if (event.do === 'many') {
    // What an unawaited loop amounts to.
    await Promise.all(Array.from({ length: event.times }, (_, n) => things.insertOne({ n, mark: event.mark })));
    answer.count = await things.countDocuments({ mark: event.mark });
  } else if (event.do === 'count') {
    answer.count = await things.countDocuments({ mark: event.mark });
  } else {
    await things.insertOne({ request: context.awsRequestId, mark: event.mark });
  }
  answer.ms = Number(process.hrtime.bigint() - began) / 1e6;
  return answer;
};
