'use strict';

// What a feature says about what it saw.

const { isDeepStrictEqual } = require('node:util');

/** The driver, the server or the face cannot do this. */
class NotApplicable extends Error {}

function notApplicable(reason) {
  throw new NotApplicable(reason);
}

function ok(condition, what) {
  if (!condition) throw new Error(what);
}

function equal(actual, expected, what) {
  if (!isDeepStrictEqual(actual, expected)) {
    throw new Error(`${what}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(actual)}`);
  }
}

/** The error that `action` must end with. */
async function rejected(action, what) {
  try {
    await action();
  } catch (error) {
    return error;
  }
  throw new Error(`${what}: expected an error, got none`);
}

async function rejectedWithCode(action, code, what) {
  const error = await rejected(action, what);
  if (error.code !== code) {
    throw new Error(`${what}: expected code ${code}, got ${error.code} (${error.message})`);
  }
  return error;
}

module.exports = { NotApplicable, notApplicable, ok, equal, rejected, rejectedWithCode };
