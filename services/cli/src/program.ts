import { Command, CommanderError, Option } from 'commander';
import { refuseUnverified, TidemarkError, UsageError } from '@tidemark/core';
import { Printer, type OutputFormat } from './output/printer.ts';
import type { InitOptions } from './commands/init.ts';
import type { Leaf, Perform } from './program/command-tree.ts';
import { watchStandardOutput } from './output/standard-output.ts';
import { addServeApi, addTokenCommands } from './program/api-commands.ts';
import { addBackupCommands, addShred } from './program/backup-commands.ts';
import { addCompletion } from './program/completion-command.ts';
import { addDump } from './program/dump-command.ts';
import { addExpire } from './program/expire-commands.ts';
import { addFileCommands } from './program/file-commands.ts';
import { addFindCommands } from './program/find-commands.ts';
import { addFleetCommands } from './program/fleet-commands.ts';
import { addCloneCommands, addDataCommands, addRecycleCommands } from './program/clone-commands.ts';
import { addJobCommands, addServeRestorer } from './program/job-commands.ts';
import { addKeyCommands } from './program/key-commands.ts';
import { addPolicyCommands } from './program/policy-commands.ts';
import { addRestore } from './program/restore-command.ts';
import { addServerCommands } from './program/server-commands.ts';
import { addWindows } from './program/windows-command.ts';
import { addStatus } from './program/status-command.ts';
import { addStoreCommands, withStoreFlags } from './program/store-commands.ts';
import { addTdeCommands } from './program/tde-commands.ts';
import { addTlsCommands } from './program/tls-commands.ts';
import { PASS_FILE } from './program/pass-file.ts';
import { withSentinelFlags, type SentinelFlags } from './program/sentinel-flags.ts';
import { withTlsFlags, type TlsFlags } from './program/tls-flags.ts';
import { usageHint } from './program/usage-hint.ts';

const CONFIG_FILE = 'tidemark.toml';

const EXIT_CODES = `
Exit codes: 0 done; 1 failed; 2 usage or configuration; 3 done but for some keys; 10 not found;
11 locked, busy or owned by another archiver; 12 wrong or missing keys; 13 time not restorable;
14 damage; 15 target not empty; 16 remote unavailable, try again; 130 cancelled.

Every command says more with --help: tidemark restore --help. It takes -o json, and the file that
TIDEMARK_CONFIG names where -c is not given.`;

/**
 * Runs the command line.
 * @param argv - Arguments after the name of the program.
 * @returns The exit code.
 */
export async function runCli(argv: readonly string[]): Promise<number> {
  const cancel = new AbortController();
  let interrupts = 0;
  const onSignal = (): void => {
    interrupts += 1;
    if (interrupts > 1) process.exit(130); // twice means now
    cancel.abort(new TidemarkError('TM_CANCELLED', 'cancelled'));
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  const run = { failure: null as unknown, printer: new Printer(wantedFormat(argv)) };
  watchStandardOutput(() => run.printer);
  const perform: Perform = async (command, work) => {
    run.printer = new Printer(optionOf(command, 'output') === 'json' ? 'json' : 'text');
    // Before anything is read or connected to; --help and --version do without.
    refuseUnverified(process.env);
    const configPath = optionOf(command, 'config');
    await work({ configPath, printer: run.printer, signal: cancel.signal });
  };
  const program = buildProgram(run.printer, perform, argv);
  try {
    await program.parseAsync(argv, { from: 'user' });
    return typeof process.exitCode === 'number' ? process.exitCode : 0;
  } catch (error) {
    return report(error, run.printer);
  } finally {
    process.off('SIGINT', onSignal);
    process.off('SIGTERM', onSignal);
  }
}

function report(error: unknown, printer: Printer): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  if (error instanceof TidemarkError) {
    printer.error(error);
    return error.exitCode;
  }
  const message = error instanceof Error ? error.message : String(error);
  printer.error(
    new TidemarkError('TM_INTERNAL', message, {
      cause: error,
      hint: 'this is a fault of Tidemark; please report it with the steps that led here',
    }),
  );
  if (process.env['TIDEMARK_TRACE'] === '1' && error instanceof Error) {
    process.stderr.write(`${error.stack ?? ''}\n`);
  }
  return 1;
}

/**
 * Every command with its options; the work of one that is named is given to `perform`.
 * @param argv - What was typed: a mistake in it is answered with the help of that command.
 */
export function buildProgram(
  printer: Printer,
  perform: Perform,
  argv: readonly string[] = [],
): Command {
  const program: Command = withGlobals(new Command('tidemark'))
    // Narrow terminals too; else descriptions run over the edge below 80 columns.
    .configureHelp({ minWidthToWrap: 20 })
    .description('Continuous backup and flashback to any second for Redis and Valkey.')
    // Options after a sub-command are its own: `backup download … -o FILE`.
    .enablePositionalOptions()
    .version('0.1.0')
    .addHelpText(
      'after',
      `
TIME is RFC 3339 with an offset (2026-11-19T11:02:10Z, 2026-11-19T19:02:10+08:00), @UNIX, -15m
(before now) or latest. It means the end of that second: all that ran in it is in, nothing later.

  tidemark init --dir /etc/tidemark
  tidemark -c /etc/tidemark/tidemark.toml instance add orders \\
      -u redis://127.0.0.1:6379 --aof-dir /var/lib/redis/appendonlydir --yes
  tidemark -c /etc/tidemark/tidemark.toml serve archiver
  tidemark -c /etc/tidemark/tidemark.toml windows orders
  tidemark -c /etc/tidemark/tidemark.toml restore orders --at 2026-11-19T11:02:10Z --to new
${EXIT_CODES}`,
    )
    .exitOverride()
    .configureOutput({
      outputError: (text) => {
        const [message = '', ...more] = text.trim().split('\n');
        const hint = usageHint(more.join(' '), program, argv);
        printer.error(new UsageError('TM_USAGE', message.replace(/^error: /, ''), { hint }));
      },
    });
  const leaf: Leaf = (parent, usage, description, options = {}) =>
    withGlobals(parent.command(usage).description(description), options).exitOverride();
  program.commandsGroup('To protect:');
  addInit(program, leaf, perform);
  addInstance(program, leaf, perform);
  const serving = program.command('serve').description('Run a service in the foreground.');
  leaf(serving, 'archiver', 'Capture every configured instance and ship what it writes.')
    .option('--take-over', 'own the logs at once, though another archiver wrote to them lately')
    .action(async (options: { takeOver?: boolean }, command: Command) =>
      perform(command, async (invocation) =>
        (await import('./commands/serve.ts')).serve(
          { takeOver: options.takeOver === true },
          invocation,
        ),
      ),
    );
  addServeRestorer(serving, leaf, perform);
  addServeApi(serving, leaf, perform);
  addStatus(program, leaf, perform);
  leaf(program, 'doctor', 'Check configuration, keys, store, nodes and clocks.').action(
    async (_: unknown, command: Command) =>
      perform(command, async (invocation) =>
        (await import('./commands/doctor.ts')).diagnose(invocation),
      ),
  );
  addBackupCommands(program, leaf, perform);
  addPolicyCommands(program, leaf, perform);
  addExpire(program, leaf, perform);
  program.commandsGroup('To find the second:');
  addWindows(program, leaf, perform);
  addFindCommands(program, leaf, perform);
  program.commandsGroup('To go back:');
  addRestore(program, leaf, perform);
  addKeyCommands(program, leaf, perform);
  addCloneCommands(program, leaf, perform);
  addServerCommands(program, leaf, perform);
  program.commandsGroup('Released instances, data of a node:');
  addRecycleCommands(program, leaf, perform);
  addDataCommands(program, leaf, perform);
  program.commandsGroup('Work, and who may ask for it:');
  addJobCommands(program, leaf, perform);
  addTokenCommands(program, leaf, perform);
  addFleetCommands(program, leaf, perform);
  program.commandsGroup('Keys, TLS and the store:');
  addTdeCommands(program, leaf, perform);
  addTlsCommands(program, leaf, perform);
  const repo = program.command('repo').description('Look after the store.');
  leaf(repo, 'rebuild-catalog', 'Delete the catalog and read it anew from the store.').action(
    async (_: unknown, command: Command) =>
      perform(command, async (invocation) =>
        (await import('./commands/repo.ts')).rebuildCatalog(invocation),
      ),
  );
  leaf(repo, 'verify', 'Read and authenticate every object of the store.').action(
    async (_: unknown, command: Command) =>
      perform(command, async (invocation) =>
        (await import('./commands/repo.ts')).verifyRepo(invocation),
      ),
  );
  addStoreCommands(repo, leaf, perform);
  addShred(repo, leaf, perform);
  program.commandsGroup('Without a configuration:');
  addDump(program, leaf, perform);
  addFileCommands(program, leaf, perform);
  addCompletion(program);
  for (const group of program.commands) if (group.commands.length > 0) withGlobals(group);
  return program;
}

function addInit(program: Command, leaf: Leaf, perform: Perform): void {
  withStoreFlags(
    leaf(program, 'init', 'Make a configuration, a store and a key ring; or take over a store.')
      .option('--dir <dir>', 'folder for tidemark.toml and what it names', '.')
      .option('--store <url>', 'a new store: file:///… or s3://BUCKET/PREFIX (default: DIR/store)')
      .option('--adopt <url>', 'an existing store to take over on this machine'),
  )
    .option('--keyring <path>', 'the key ring that belongs to it')
    .option('--keys <provider>', 'who wraps the keys of data: ring, or aws-kms', 'ring')
    .option('--kms-key <key>', 'with aws-kms: ARN, id or alias of a symmetric key for encryption')
    .option('--kms-region <region>', 'region of the key service')
    .option('--kms-endpoint <url>', 'address of a key service that is not AWS itself')
    .action(async (options: InitOptions, command: Command) =>
      perform(command, async (invocation) =>
        (await import('./commands/init.ts')).init(options, invocation),
      ),
    );
}

function addInstance(program: Command, leaf: Leaf, perform: Perform): void {
  const instance = program.command('instance').description('The deployments under protection.');
  withSentinelFlags(
    withTlsFlags(
      leaf(
        instance,
        'add [id]',
        'Check a node and its source of capture and take it into the configuration.',
      ).option(
        '-u, --url <url>',
        'redis://[USER@]HOST:PORT, or redis+sentinel://[USER@]HOST:PORT,HOST:PORT/MASTER; rediss with TLS',
      ),
    ),
  )
    .option('--pass-file <file>', PASS_FILE)
    .addOption(
      new Option(
        '--source <source>',
        'aof: beside the node, from its files; psync: as a replica of it',
      )
        .choices(['aof', 'psync'])
        .default('aof'),
    )
    .option(
      '--aof-dir <path>',
      'folder that holds <appendfilename>.manifest (of 6.x: <appendfilename>), as seen here',
    )
    .option('-y, --yes', 'consent to aof-timestamp-enabled yes on the node')
    .option(
      '--hold',
      'where nothing can be linked: the node keeps old files until they are archived (aof-disable-auto-gc yes)',
    )
    .option(
      '--print-acl',
      'only print the users that capture and restore need, with the least rights',
    )
    .action(
      async (
        id: string | undefined,
        options: TlsFlags &
          SentinelFlags & {
            url?: string;
            passFile?: string;
            source: 'aof' | 'psync';
            aofDir?: string;
            yes?: boolean;
            hold?: boolean;
            printAcl?: boolean;
          },
        command: Command,
      ) =>
        perform(command, async (invocation) => {
          if (options.printAcl === true) {
            (await import('./commands/acl-rules.ts')).printAclRules(options, invocation);
            return;
          }
          const { url } = options;
          if (id === undefined || url === undefined) {
            throw new UsageError('TM_USAGE', `${id === undefined ? 'ID' : '--url'} is missing`, {
              hint: 'tidemark instance add ID --url redis://[USER@]HOST:PORT …; --help shows the rest',
            });
          }
          const flags = { url, yes: options.yes === true, hold: options.hold === true };
          const { addNode } = await import('./commands/instance.ts');
          await addNode(id, { ...options, ...flags }, invocation);
        }),
    );
  leaf(instance, 'list', 'List instances.').action(async (_: unknown, command: Command) =>
    perform(command, async (invocation) =>
      (await import('./commands/instance.ts')).listInstances(invocation),
    ),
  );
  leaf(instance, 'show <id>', 'Show an instance and its node.').action(
    async (id: string, _: unknown, command: Command) =>
      perform(command, async (invocation) =>
        (await import('./commands/instance.ts')).showInstance(id, invocation),
      ),
  );
  leaf(instance, 'facts <id>', 'Show version, settings and users of the node, as stored.')
    .option('--at <time>', 'as of this second (default: the latest)')
    .action(async (id: string, options: { at?: string }, command: Command) =>
      perform(command, async (invocation) =>
        (await import('./commands/facts.ts')).showFacts(id, options, invocation),
      ),
    );
  leaf(instance, 'remove <id>', 'Stop capturing an instance; its history stays.')
    .option('--to-recycle', 'put it into the recycle bin: all of it is kept, and can be rebuilt')
    .action(async (id: string, flags: { toRecycle?: boolean }, command: Command) =>
      perform(command, async (invocation) =>
        flags.toRecycle === true
          ? (await import('./commands/recycle.ts')).recycleNode(id, invocation)
          : (await import('./commands/instance.ts')).removeNode(id, invocation),
      ),
    );
}

/**
 * A global option may stand before or after the sub-command: the nearest one that is given counts,
 * before the environment and the default.
 */
function optionOf(command: Command, name: string): string {
  for (let at: Command | null = command; at !== null; at = at.parent) {
    if (at.getOptionValueSource(name) === 'cli') return String(at.getOptionValue(name));
  }
  const value = String(command.getOptionValue(name));
  // An empty TIDEMARK_CONFIG is none.
  return value === '' && name === 'config' ? CONFIG_FILE : value;
}

function withGlobals(command: Command, { ownO = false }: { ownO?: boolean } = {}): Command {
  const output = ownO ? '--output <format>' : '-o, --output <format>';
  return command
    .addOption(
      new Option('-c, --config <file>', 'configuration file')
        .env('TIDEMARK_CONFIG')
        .default(CONFIG_FILE),
    )
    .addOption(
      new Option(output, 'how the result is printed').choices(['text', 'json']).default('text'),
    );
}

/** The format for errors that come before the arguments are parsed. */
function wantedFormat(argv: readonly string[]): OutputFormat {
  const joined = argv.join(' ');
  return /(^| )(-o|--output)[ =]?json( |$)/.test(joined) ? 'json' : 'text';
}
