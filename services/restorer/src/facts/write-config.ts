import type { NodeFactsRecord } from '@tidemark/archive';
import type { NodeClient } from '@tidemark/client';
import { NodeError } from '@tidemark/core';
import type { FactsPartReport, LeftFact } from './facts-report.ts';
import {
  isSafeSetting,
  reasonToLeave,
  refuseMaxmemory,
  type TargetMemory,
} from './setting-rules.ts';

const MAXMEMORY = 'maxmemory';

/**
 * Writes the settings of a node that differ from those of the target and are safe to write, and
 * says of each other one that differs why it was left.
 * @param write - False: only says what it would do.
 * @throws NodeError when the target does not answer or denies CONFIG GET.
 */
export async function writeConfig(
  facts: NodeFactsRecord,
  client: NodeClient,
  write: boolean,
): Promise<FactsPartReport> {
  const present = await client.configGet('*');
  const info = await client.info('memory');
  const memory: TargetMemory = {
    limit: Number(present[MAXMEMORY] ?? 0),
    used: info.number('used_memory', 0),
    system: info.number('total_system_memory', 0),
  };
  const written: string[] = [];
  const left: LeftFact[] = facts.secrets.map((name) => ({
    name,
    reason: 'it is a secret and not stored; set it yourself',
  }));
  let same = 0;
  for (const [name, value] of inOrder(facts.config ?? {})) {
    const now = present[name];
    if (now === value) {
      same += 1;
      continue;
    }
    const reason =
      reasonOf(name, value, now, memory) ?? (write ? await set(client, name, value) : null);
    if (reason === null) written.push(name);
    else left.push({ name, reason });
  }
  return { written, same, left };
}

/** The limit before the policy: the other way round the old limit would evict by the new policy. */
function inOrder(config: Readonly<Record<string, string>>): readonly (readonly [string, string])[] {
  const entries = Object.entries(config).filter(([name]) => !isOldName(name, config));
  return entries.sort(([a], [b]) => Number(b === MAXMEMORY) - Number(a === MAXMEMORY));
}

/** A server tells a setting that was renamed under both names. */
function isOldName(name: string, config: Readonly<Record<string, string>>): boolean {
  const renamed = name.replace('slave', 'replica').replace('ziplist', 'listpack');
  return renamed !== name && renamed in config;
}

function reasonOf(
  name: string,
  value: string,
  now: string | undefined,
  memory: TargetMemory,
): string | null {
  if (now === undefined) return 'the target does not know it';
  if (name === MAXMEMORY) return refuseMaxmemory(Number(value), memory);
  return isSafeSetting(name) ? null : reasonToLeave(name);
}

async function set(client: NodeClient, name: string, value: string): Promise<string | null> {
  try {
    await client.configSet(name, value);
    return null;
  } catch (error) {
    if (!(error instanceof NodeError) || !client.isOpen) throw error;
    return error.code === 'TM_NODE_RIGHTS'
      ? 'the target denies CONFIG SET'
      : 'the target refuses its value';
  }
}
