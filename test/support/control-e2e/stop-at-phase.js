import { readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';

// Loaded into a process of the command line before its own modules: the file STOP_FILE may hold a signal and
// a phase. The process sends that signal to itself as soon as it has put down that a job comes to that
// phase, once.
const { STOP_FILE } = process.env;
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
}

function look({ state, progress }) {
  const [signal, phase] = wanted();
  if (state !== 'running' || progress.phase !== phase) return;
  rmSync(STOP_FILE);
  // The transaction ends before anything else is done.
  process.nextTick(() => process.kill(process.pid, signal));
}

function wanted() {
  try {
    return readFileSync(STOP_FILE, 'utf8').split(' ');
  } catch {
    return [];
  }
}
