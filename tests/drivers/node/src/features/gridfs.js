'use strict';

const { createHash, randomBytes } = require('node:crypto');
const { Readable } = require('node:stream');
const { pipeline } = require('node:stream/promises');

const { GridFSBucket } = require('mongodb');

const { equal } = require('../expect');

const hash = () => createHash('sha256');

async function hashOfDownload(stream) {
  const digest = hash();
  for await (const chunk of stream) digest.update(chunk);
  return digest.digest('hex');
}

async function gridfs(context) {
  const bucket = new GridFSBucket(context.newDatabase(), { bucketName: 'files' });
  const content = randomBytes(3 * 1024 * 1024);
  const upload = bucket.openUploadStream('first');
  await pipeline(Readable.from([content]), upload);
  const expected = hash().update(content).digest('hex');
  equal(await hashOfDownload(bucket.openDownloadStream(upload.id)), expected, 'hash by id');
  await bucket.rename(upload.id, 'second');
  equal(await hashOfDownload(bucket.openDownloadStreamByName('second')), expected, 'hash by name');
  await bucket.delete(upload.id);
  equal(await bucket.find({ _id: upload.id }).toArray(), [], 'files after the deletion');
}

module.exports = { gridfs };
