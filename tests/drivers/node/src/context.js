'use strict';

// What every feature works with: its clients, its database, its fail points.

const { MongoClient } = require('mongodb');

const { notApplicable } = require('./expect');

class Context {
  #plan;
  #clients = [];
  #failPointUsed = false;
  /** What a pass of the feature does not show. */
  #note;

  constructor(plan) {
    this.#plan = plan;
  }

  get note() {
    return this.#note;
  }

  /** The feature's line says this, also when it passes. */
  sayAlso(note) {
    this.#note = note;
  }

  get face() {
    return this.#plan.face;
  }

  get hasSecondaries() {
    return Boolean(this.#plan.secondaries);
  }

  get maxWireVersion() {
    return this.#plan.server?.maxWireVersion ?? 0;
  }

  /** One of the other connection strings; a plan without it cannot have this feature. */
  uri(name) {
    return this.#plan.uris?.[name] ?? notApplicable(`the plan has no uri "${name}"`);
  }

  /** The plan's connection string with more options in it. */
  uriWith(query) {
    const { uri } = this.#plan;
    if (uri.includes('?')) return `${uri}&${query}`;
    const hasPath = uri.slice(uri.indexOf('://') + 3).includes('/');
    return `${uri}${hasPath ? '' : '/'}?${query}`;
  }

  /** A client that is closed with the feature. Its name is what fail points go by. */
  client(options = {}, uri = this.#plan.uri) {
    const client = new MongoClient(uri, { appName: this.#plan.database, ...options });
    this.#clients.push(client);
    return client;
  }

  database(client) {
    return client.db(this.#plan.database);
  }

  /** A database of a new client. */
  newDatabase(options, uri) {
    return this.database(this.client(options, uri));
  }

  /** A new collection, known to be empty. */
  async emptyCollection(name, options) {
    const collection = this.newDatabase(options).collection(name);
    await collection.deleteMany({});
    return collection;
  }

  /** Arms `failCommand` for this program's own clients. */
  async failCommand(commands, data, times = 1) {
    this.#failPointUsed = true;
    await this.#configureFailCommand({
      mode: { times },
      data: { failCommands: commands, appName: this.#plan.database, ...data },
    });
  }

  async #configureFailCommand(how) {
    const control = new MongoClient(this.#plan.uri);
    try {
      await control.db('admin').command({ configureFailPoint: 'failCommand', ...how });
    } finally {
      await control.close();
    }
  }

  async close() {
    try {
      if (this.#failPointUsed) await this.#configureFailCommand({ mode: 'off' });
    } finally {
      await Promise.allSettled(this.#clients.map((client) => client.close()));
    }
  }
}

module.exports = { Context };
