import { CommanderError, type Command } from 'commander';
import { Printer } from '../../services/cli/src/output/printer.ts';
import { buildProgram } from '../../services/cli/src/program.ts';

/** The command tree of the real program; nothing that it names is done. */
export function commandTree(): Command {
  return buildProgram(new Printer('json'), () => Promise.resolve());
}

/**
 * Reads a command line as the program does, and does nothing.
 * @returns Null when it is one; else what is wrong with it.
 */
export async function faultOf(words: readonly string[]): Promise<string | null> {
  const wrong: string[] = [];
  const program = commandTree();
  for (const command of everyCommand(program)) {
    command.exitOverride().configureOutput({
      writeOut: () => undefined,
      outputError: (text) => void wrong.push(text.trim()),
      writeErr: () => undefined,
    });
  }
  try {
    await program.parseAsync([...words], { from: 'user' });
    return null;
  } catch (cause) {
    if (cause instanceof CommanderError && cause.exitCode === 0) return null; // --help, --version
    return wrong.join('; ') || (cause instanceof Error ? cause.message : String(cause));
  }
}

/** A command and all below it. */
export function everyCommand(command: Command): readonly Command[] {
  return [command, ...command.commands.flatMap(everyCommand)];
}
