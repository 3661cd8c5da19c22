import type {
  KeyShredded,
  TdeEnabled,
  TdeKeyChanged,
  TdeLatched,
  TdeRequested,
} from './instance-events.ts';
import type { InstanceKey, InstanceState, ShreddedKeys, TdeState } from './instance-state.ts';

/** Keys that one instance adopts. */
export const INSTANCE_KEYS_MAX = 1024;

/** Data keys of one instance that are destroyed one by one. */
export const SHREDDED_MAX = 65_536;

/** Why an event of TDE may not follow; null when it may. */
export function tdeRefusal(
  { tde }: InstanceState,
  event: TdeRequested | TdeLatched | TdeEnabled | TdeKeyChanged,
): string | null {
  const latched = tde !== null && tde.latchedMs !== null;
  switch (event.type) {
    case 'TdeRequested':
      if (latched) return 'TDE is on';
      return tde !== null && holdsKey([tde], event) ? 'TDE was asked for with this key' : null;
    case 'TdeLatched':
      if (latched) return 'TDE is on';
      return tde === null || holdsKey([tde], event) ? null : 'TDE was asked for with another key';
    case 'TdeEnabled':
      if (!latched) return 'TDE is not latched';
      return tde.enabledMs === null ? null : 'TDE is enabled';
    case 'TdeKeyChanged':
      if (!latched) return 'TDE is not latched';
      return holdsKey([tde], event) ? 'it is the key in use' : null;
  }
}

/** Why keys may not be destroyed; null when they may. */
export function shredRefusal({ shredded }: InstanceState, event: KeyShredded): string | null {
  const { scope, dekIds } = event;
  if ((scope === 'instance') !== (dekIds === null)) return 'only an instance has no list of keys';
  if (dekIds === null) return null;
  if (dekIds.length === 0) return 'it names no key';
  const more = shredded.dekIds.length + dekIds.length > SHREDDED_MAX;
  return more ? `more than ${SHREDDED_MAX} keys destroyed one by one` : null;
}

/** Why a key may not be adopted; null when there is room for it. */
export function keyRoom({ keys }: InstanceState, key: InstanceKey): string | null {
  if (keys.length < INSTANCE_KEYS_MAX || holdsKey(keys, key)) return null;
  return `more than ${INSTANCE_KEYS_MAX} keys`;
}

/** TDE after an event of it. */
export function tdeAfter(
  tde: TdeState | null,
  event: TdeRequested | TdeLatched | TdeKeyChanged,
): TdeState {
  const { type, provider, keyId, atMs } = event;
  return {
    provider,
    keyId,
    auto: type === 'TdeLatched' ? (tde?.auto ?? false) : event.auto,
    sinceMs: tde?.sinceMs ?? atMs,
    latchedMs: type === 'TdeLatched' ? atMs : (tde?.latchedMs ?? null),
    enabledMs: tde?.enabledMs ?? null,
    backup: tde?.backup ?? null,
  };
}

/** The destroyed keys after more of them. */
export function shreddedAfter(shredded: ShreddedKeys, { dekIds, atMs }: KeyShredded): ShreddedKeys {
  if (dekIds === null) return { instanceMs: atMs, dekIds: [] };
  return { ...shredded, dekIds: [...new Set([...shredded.dekIds, ...dekIds])] };
}

/** The adopted keys with one more. */
export function withKey(keys: readonly InstanceKey[], key: InstanceKey): readonly InstanceKey[] {
  const { provider, keyId } = key;
  return holdsKey(keys, key) ? keys : [...keys, { provider, keyId }];
}

/** Whether a key was adopted. */
export function holdsKey(keys: readonly InstanceKey[], { provider, keyId }: InstanceKey): boolean {
  return keys.some((each) => each.provider === provider && each.keyId === keyId);
}
