import fs, { readFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { Socket } from 'node:net';

// Loaded into an archiver before its own modules: it kills itself, as `kill -9` does, while it makes a backup
// that it was asked for. KILL_AT says when:
//   ask      the node is about to be asked for a base
//   rewrite  it was asked
//   read     the file is open that the sealed base is written to
//   ship     the sealed base is whole, and is about to be put into the store
//   publish  it lies there, and the entry that names it is about to be
//   told     so does that, and nobody knows yet
const point = process.env.KILL_AT;
const die = () => process.kill(process.pid, 'SIGKILL');

const { write } = Socket.prototype;
Socket.prototype.write = function (chunk, ...more) {
  const asks = (point === 'ask' || point === 'rewrite') && /BGREWRITEAOF/i.test(String(chunk));
  if (asks && point === 'ask') die();
  const done = write.call(this, chunk, ...more);
  if (asks) write.call(this, '', die);
  return done;
};

const { open, link } = fs.promises;
fs.promises.open = async (path, ...more) => {
  const file = await open(path, ...more);
  if (point === 'read' && /\/snapshot-[^/]*\.sealed$/.test(String(path))) die();
  return file;
};
fs.promises.link = async (from, to) => {
  const publishes = /\/log\//.test(to) && readFileSync(from).includes('"SnapshotStored"');
  if (point === 'ship' && /\/rdb\//.test(to)) die();
  if (point === 'publish' && publishes) die();
  const done = await link(from, to);
  if (point === 'told' && publishes) die();
  return done;
};
syncBuiltinESMExports();
