import type { Control } from '../control.ts';
import type { Actor } from '../jobs/job.ts';
import type { Scope } from '../api/types.ts';
import type { CompatParams } from './compat-params.ts';

/** What an action is done with. */
export interface CompatCall {
  readonly params: CompatParams;
  readonly control: Control;
  readonly actor: Actor;
  /** What the caller may do beside the scope of the action. */
  readonly scopes: readonly Scope[];
  /** Of `Token` or `ClientToken`: the same call with it is done once. */
  readonly key: { readonly actor: string; readonly key: string } | undefined;
  readonly signal: AbortSignal;
}

/** One operation of the managed service. */
export interface CompatAction {
  readonly scope: Scope;
  /** Parameters that it knows beside the public ones. */
  readonly params: readonly string[];
  /** @returns The fields of the answer; `RequestId` is added. */
  run(call: CompatCall): Promise<object>;
}
