import { commandArguments, RespDecoder } from '@tidemark/resp';

/** The commands of a piece of a log, as they stand in it; annotations are no commands. */
export function loggedCommands(log: Buffer): (readonly Buffer[])[] {
  const decoder = new RespDecoder();
  decoder.push(log);
  const commands: (readonly Buffer[])[] = [];
  for (let value = decoder.read(); value !== undefined; value = decoder.read()) {
    const args = commandArguments(value);
    if (args === null) throw new Error('not a command log');
    commands.push(args);
  }
  return commands;
}
