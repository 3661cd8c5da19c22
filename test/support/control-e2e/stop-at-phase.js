import fs, { readFileSync, rmSync } from 'node:fs';
import { createRequire, syncBuiltinESMExports } from 'node:module';

// Loaded into a process of the command line before its own modules: the file STOP_FILE may hold a signal and
// a phase. The process sends that signal to itself as soon as it has put down that a job comes to that
// phase, once; with `PHASE+N` before the n-th object that it adds to a store, or takes out of one, after that;
// with `PHASE+N!` right after it.
const { STOP_FILE } = process.env;
let armed = null;
if (STOP_FILE !== undefined) {
  const { prototype } = createRequire(import.meta.url)('better-sqlite3');
  const { prepare } = prototype;
  prototype.prepare = function (sql) {
    const statement = prepare.call(this, sql);
    if (!sql.startsWith('INSERT INTO job_events')) return statement;
    const { run } = statement;
    statement.run = (...values) => {
      const done = run.apply(statement, values);
      look(JSON.parse(values.at(-1)));
      return done;
    };
    return statement;
  };
  for (const name of ['link', 'unlink']) {
    const own = fs.promises[name];
    fs.promises[name] = async (...args) => {
      const due = armed !== null && --armed.left === 0 ? armed : null;
      if (due !== null) armed = null;
      if (due?.after === false) process.kill(process.pid, due.signal);
      const done = await own.apply(fs.promises, args);
      if (due?.after === true) process.kill(process.pid, due.signal);
      return done;
    };
  }
  syncBuiltinESMExports();
}

function look({ state, progress }) {
  const [signal, wish] = wanted();
  const [phase, left = '0'] = wish.split('+');
  if (state !== 'running' || progress.phase !== phase) return;
  rmSync(STOP_FILE);
  if (left !== '0') armed = { signal, left: parseInt(left, 10), after: left.endsWith('!') };
  // The transaction ends before anything else is done.
  else process.nextTick(() => process.kill(process.pid, signal));
}

function wanted() {
  try {
    return readFileSync(STOP_FILE, 'utf8').split(' ');
  } catch {
    return ['', ''];
  }
}
