import type { Command } from 'commander';
import type { Invocation } from '../invocation.ts';

/** A command's work: it prints its result through the invocation's printer. */
export type Work = (invocation: Invocation) => Promise<void>;

/**
 * Adds a command with the global options. `-o` is short for the output format unless the command
 * has another use for it; `--output` always is that.
 */
export type Leaf = (
  parent: Command,
  usage: string,
  description: string,
  options?: { readonly ownO?: boolean },
) => Command;

/** Runs the work of a command with what its options say. */
export type Perform = (command: Command, work: Work) => Promise<void>;
