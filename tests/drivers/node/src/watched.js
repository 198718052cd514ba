'use strict';

// Counts what a client does, from the driver's own events.

/** The names of the commands that `client` sends, as they start. */
function startedCommands(client) {
  const names = [];
  client.on('commandStarted', (event) => names.push(event.commandName));
  return names;
}

function count(names, wanted) {
  return names.filter((name) => name === wanted).length;
}

/** How often a pool was cleared, and how often a known server became Unknown. */
function disturbances(client) {
  const seen = { poolCleared: 0, unknown: 0 };
  client.on('connectionPoolCleared', () => (seen.poolCleared += 1));
  client.on('serverDescriptionChanged', ({ previousDescription, newDescription }) => {
    if (previousDescription.type !== 'Unknown' && newDescription.type === 'Unknown') {
      seen.unknown += 1;
    }
  });
  return seen;
}

module.exports = { startedCommands, count, disturbances };
