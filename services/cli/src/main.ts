import { runCli } from './program.ts';

let ended = false;
process.once('exit', () => {
  // Node leaves with 13 when nothing is left to wait for; here that would say "time not restorable".
  const unsettled = process.exitCode === undefined || process.exitCode === 13;
  if (ended || !unsettled) return;
  process.stderr.write('error[1]: the command ended before its work did (TM_INTERNAL)\n');
  process.exitCode = 1;
});
process.exitCode = await runCli(process.argv.slice(2));
ended = true;
