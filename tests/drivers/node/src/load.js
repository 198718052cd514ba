'use strict';

// Seven classes of work, again and again, and what the application saw of each operation.

const { existsSync } = require('node:fs');
const { setTimeout: sleep } = require('node:timers/promises');

const { MongoClient } = require('mongodb');

// After the stop an operation may still take so long; then it counts as never answered.
const PATIENCE = 45_000;
// An event that has not come by then is lost.
const EVENT_LIMIT = 60_000;
const ROWS = 50;

/** An answer that cannot be right. */
class Wrong extends Error {}

/** What an application sees: the driver's name for it and the server's code. */
function described(error) {
  if (error instanceof Wrong) return 'Wrong';
  return error.code === undefined ? error.name : `${error.name} ${error.code}`;
}

function one(found) {
  if (found.length !== 1 || found[0] === null) throw new Wrong(`found ${JSON.stringify(found)}`);
}

function matched(result) {
  if (result.matchedCount !== 1) throw new Wrong(`matched ${result.matchedCount}`);
}

/** Inserts numbered documents and waits for the event of each: none is lost, none comes twice. */
class Stream {
  constructor(things) {
    this.things = things;
    this.stream = null;
    this.token = undefined;
    this.last = 0;
    this.awaited = new Set();
  }

  async passOn(number) {
    if (this.stream === null || this.stream.closed) {
      if (this.token === undefined) this.awaited.clear();
      this.stream = this.things.watch([], this.token ? { resumeAfter: this.token } : {});
      // It is opened by the first look; what is inserted before would not be in it.
      await this.look();
    }
    await this.things.insertOne({ _id: number });
    this.awaited.add(number);
    const end = Date.now() + EVENT_LIMIT;
    while (this.last < number) {
      if (!(await this.look()) && Date.now() > end) throw new Wrong(`event ${number} was lost`);
    }
  }

  async look() {
    const event = await this.stream.tryNext();
    this.token = this.stream.resumeToken ?? this.token;
    if (event === null) return false;
    const seen = event.documentKey._id;
    if (seen <= this.last) throw new Wrong(`event ${seen} came twice`);
    this.last = seen;
    this.awaited.delete(seen);
    const missed = [...this.awaited].find((each) => each < seen);
    if (missed !== undefined) throw new Wrong(`event ${missed} was lost`);
    return true;
  }
}

/** For each class what an operation of a worker is. */
function works(plan, client, db) {
  const rows = db.collection('rows');
  const counters = db.collection('counters');
  const pause = () => sleep(plan.pause_ms);
  const increment = (kind, worker, number) => {
    const counter = `${plan.name}-${kind}-${worker}-${number % plan.counters}`;
    const change = { $inc: { n: 1 }, $push: { applied: number } };
    return { written: { counter, number }, which: { _id: counter }, change };
  };
  const writing = (kind, write) => (worker) => (number) => {
    const { written, which, change } = increment(kind, worker, number);
    return { written, operate: () => write(number, which, change) };
  };
  const reading = (read) => () => (number) => ({ written: {}, operate: () => read(number) });
  return {
    PR: reading(async (number) => {
      const find = { find: 'rows', filter: { _id: number % ROWS }, singleBatch: true };
      one((await db.command(find)).cursor.firstBatch);
    }),
    RD: reading(async (number) => one([await rows.findOne({ _id: number % ROWS })])),
    RW: writing('RW', async (_, which, change) => matched(await counters.updateOne(which, change))),
    NW: writing('NW', async (_, which, change) => matched(await counters.updateMany(which, change))),
    TX: writing('TX', (number, which, change) =>
      client.withSession((session) =>
        session.withTransaction(async () => {
          one([await rows.findOne({ _id: number % ROWS }, { session })]);
          matched(await counters.updateOne(which, change, { session }));
        })
      )
    ),
    CU: reading(async () => {
      const seen = [];
      for await (const row of rows.find({}, { batchSize: 10 }).sort({ _id: 1 })) {
        seen.push(row._id);
        if (seen.length % 10 === 0) await pause();
      }
      if (seen.length !== ROWS || seen.some((id, at) => id !== at)) {
        throw new Wrong(`the cursor gave ${seen}`);
      }
    }),
    CS: (worker) => {
      const stream = new Stream(db.collection(`events-${plan.name}-${worker}`));
      return (number) => ({ written: {}, operate: () => stream.passOn(number) });
    },
  };
}

async function runLoad(plan, say) {
  const client = new MongoClient(plan.uri);
  client.on('connectionCreated', () => say({ pool: 'created', at: Date.now() }));
  client.on('connectionPoolCleared', () => say({ pool: 'cleared', at: Date.now() }));
  const work = works(plan, client, client.db(plan.database));
  const running = new Map();
  const stopped = () => existsSync(plan.stop);

  async function labour(kind, worker) {
    const act = work[kind](worker);
    for (let number = 1; !stopped(); number += 1) {
      const { written, operate } = act(number);
      const line = { class: kind, at: Date.now(), error: null, ...written };
      const began = performance.now();
      running.set(`${kind}-${worker}`, { line, began });
      try {
        await operate();
      } catch (error) {
        Object.assign(line, { error: described(error), message: String(error.message).slice(0, 200) });
      }
      running.delete(`${kind}-${worker}`);
      say({ ...line, ms: performance.now() - began });
      await sleep(plan.pause_ms);
    }
  }

  const all = [];
  for (const kind of plan.classes) {
    for (let worker = 0; worker < plan.workers; worker += 1) all.push(labour(kind, worker));
  }
  while (!stopped()) await sleep(50);
  await Promise.race([Promise.all(all), sleep(PATIENCE)]);
  for (const { line, began } of running.values()) {
    say({ ...line, ms: performance.now() - began, error: 'no answer' });
  }
}

module.exports = { runLoad };
