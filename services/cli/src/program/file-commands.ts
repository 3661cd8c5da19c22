import type { Command } from 'commander';
import type { BigKeysFlags, KeysFlags } from '../commands/rdb.ts';
import type { Leaf, Perform } from './command-tree.ts';

/** Adds the commands that look at files of a server; they need no configuration. */
export function addFileCommands(program: Command, leaf: Leaf, perform: Perform): void {
  addRdb(program, leaf, perform);
  addAof(program, leaf, perform);
}

function addRdb(program: Command, leaf: Leaf, perform: Perform): void {
  const rdb = program.command('rdb').description('Look into RDB files of any server and version.');
  leaf(rdb, 'check <file>', 'Check a file whole: structure, checksum and the content of values.')
    .option('--structure-only', 'structure and checksum, not the content of values (faster)')
    .addHelpText(
      'after',
      `
The file may be - for the standard input. Nothing is held in memory but one piece of it. Exit code
0: a server loads it; 14: damaged, with the byte offset and, inside a value, database and key.

  tidemark rdb check /var/lib/redis/dump.rdb
  gunzip < dump.rdb.gz | tidemark rdb check - -o json`,
    )
    .action(async (file: string, flags: { structureOnly?: boolean }, command: Command) =>
      perform(command, async (invocation) =>
        (await import('../commands/rdb.ts')).checkRdb(
          file,
          { structureOnly: flags.structureOnly === true },
          invocation,
        ),
      ),
    );
  leaf(rdb, 'info <file>', 'Show who wrote a file and how much of each type it holds.')
    .addHelpText(
      'after',
      `
Bytes are those in the file, not those a server needs in memory.

  tidemark rdb info /var/lib/redis/dump.rdb`,
    )
    .action(async (file: string, _: unknown, command: Command) =>
      perform(command, async (invocation) =>
        (await import('../commands/rdb.ts')).showRdb(file, invocation),
      ),
    );
  leaf(rdb, 'keys <file>', 'List the keys of a file with database, type, bytes and expiry.')
    .option('--db <n>', 'only this database')
    .option('--type <type>', 'only string, list, set, zset, hash, stream or module')
    .option('--limit <n>', 'stop after so many keys; the checksum is then not looked at')
    .addHelpText(
      'after',
      `
One line for each key, fields separated by tabs; with -o json one JSON object on each line. A key
is shown as UTF-8; a backslash in it as \\\\, control characters and other bytes as \\xHH.

  tidemark rdb keys dump.rdb --type hash | sort -t "$(printf '\\t')" -k3 -n | tail
  tidemark rdb keys dump.rdb --db 0 -o json | jq -r 'select(.expiryMs != null) | .key'`,
    )
    .action(async (file: string, flags: KeysFlags, command: Command) =>
      perform(command, async (invocation) =>
        (await import('../commands/rdb.ts')).listRdbKeys(file, flags, invocation),
      ),
    );
  leaf(rdb, 'big-keys <file>', 'Show the keys of each type that take most bytes in a file.')
    .option('-n, --top <n>', 'how many of each type, at most 10000', '10')
    .option('--type <type>', 'only string, list, set, zset, hash, stream or module')
    .addHelpText(
      'after',
      `
  tidemark rdb big-keys dump.rdb -n 3`,
    )
    .action(async (file: string, flags: BigKeysFlags, command: Command) =>
      perform(command, async (invocation) =>
        (await import('../commands/rdb.ts')).showBigKeys(file, flags, invocation),
      ),
    );
}

function addAof(program: Command, leaf: Leaf, perform: Perform): void {
  const aof = program.command('aof').description('Look into append-only files of any server.');
  leaf(aof, 'check <path>', 'Check all files of an append-only file: whole, torn or damaged.')
    .addHelpText(
      'after',
      `
PATH is the folder with the manifest, the manifest, or a single file (with or without an RDB head).
Exit code 0: a server loads it; 14: a file is torn, damaged or missing, with the byte offset.

  tidemark aof check /var/lib/redis/appendonlydir
  tidemark aof check /var/lib/redis/appendonly.aof -o json`,
    )
    .action(async (path: string, _: unknown, command: Command) =>
      perform(command, async (invocation) =>
        (await import('../commands/aof.ts')).checkAof(path, invocation),
      ),
    );
  leaf(aof, 'timeline <path>', 'Show which seconds each file of an append-only file covers.')
    .addHelpText(
      'after',
      `
Seconds are those of the #TS lines (aof-timestamp-enabled yes). FROM and TO count bytes of commands
over all files, lines of annotations left out.

  tidemark aof timeline /var/lib/redis/appendonlydir`,
    )
    .action(async (path: string, _: unknown, command: Command) =>
      perform(command, async (invocation) =>
        (await import('../commands/aof.ts')).showAofTimeline(path, invocation),
      ),
    );
}
