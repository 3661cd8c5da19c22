import { TidemarkError } from '@tidemark/core';
import type { Control } from '../../control.ts';
import { addNode, attachNode } from '../../instances/add-instance.ts';
import { changeLogin, reattachNode } from '../../instances/change-login.ts';
import { instanceOfRequest } from '../../instances/entry-of-request.ts';
import { requireFor } from '../../provision/own-secrets.ts';
import { askStatus } from '../../queries/status.ts';
import { configuredEntry, instanceRows } from '../../queries/instances.ts';
import { ApiProblem, wrongField } from '../problem-types.ts';
import { instanceParams } from '../schemas/common.ts';
import {
  AddedSchema,
  ChangedSchema,
  InstanceChangeBody,
  NewInstanceBody,
} from '../schemas/instance-changes.ts';
import type { ApiApp, ApiPorts } from '../types.ts';
import { Gate } from './gate.ts';
import { callerSignal, workSignal } from './request-tools.ts';

const tags = ['instances'];
const WORK_MS = 50_000;
const CHANGES_MAX = 4;
const problems = ['exists', 'configuration', 'refused', 'node-unavailable', 'overloaded'] as const;

/** Adds the routes that take instances under protection and change how they are reached. */
export function addInstanceChanges(app: ApiApp, ports: ApiPorts): void {
  const gate = new Gate(CHANGES_MAX, 'changes of instances');
  addNew(app, ports, gate);
  addChange(app, ports, gate);
}

function addNew(app: ApiApp, { control, clock, random }: ApiPorts, gate: Gate): void {
  app.post(
    '/v1/instances',
    {
      config: {
        ...{ scope: 'admin', idempotent: true },
        problems: [...problems, 'aof-disabled', 'archiver-unavailable', 'tde-denied'],
      },
      schema: {
        operationId: 'addInstance',
        summary: 'Takes an instance under protection, on this host.',
        description:
          'Its server is one of `[server] allow_sources`. It is connected to and looked at first, for two seconds; then the configuration holds it, and the archiver takes it up.',
        ...{ tags, body: NewInstanceBody },
        response: {
          201: {
            description: 'It is in the configuration.',
            headers: { Location: { type: 'string', description: 'Address of the instance.' } },
            ...AddedSchema,
          },
        },
      },
    },
    async (request, reply) => {
      const { body, actor } = request;
      const { id, source, aofDir, hold = false, switchTimestamps = false } = body;
      const { workspace, secrets, audit } = control;
      if (source === 'aof' && aofDir === undefined) throw wrongField('/aofDir', 'is not named');
      const ofFiles = { aofDir: aofDir !== undefined, hold, switchTimestamps };
      for (const [name, isGiven] of Object.entries(ofFiles)) {
        if (source === 'psync' && isGiven) throw wrongField(`/${name}`, 'needs source aof');
      }
      const signal = callerSignal(request, WORK_MS);
      const warnings: string[] = [];
      const added = await gate.through(async () => {
        const wanted = await instanceOfRequest(body, secrets, workspace.config);
        if (source === 'aof') await requireArchiver(control, signal);
        return addNode(wanted, {
          ...{ workspace, clock, random, signal, by: actor.name },
          warn: (message) => warnings.push(message),
          progress: () => undefined,
        });
      });
      audit.append({ actor, action: 'instance.add', instance: id, job: null, detail: source });
      // From here on it is there, whatever fails, and whether or not the caller waits for it.
      const late = workSignal(WORK_MS);
      const attached = await orWarn(warnings, () => attachNode(id, { workspace, signal: late }));
      await control.fresh.of(id, 0).catch(() => undefined);
      reply.code(201).header('location', `/v1/instances/${id}`);
      return { instance: id, ...added, attached, warnings };
    },
  );
}

/** Append-only files are read where they lie. */
async function requireArchiver({ workspace }: Control, signal: AbortSignal): Promise<void> {
  if ((await askStatus(workspace, signal)) !== null) return;
  throw new ApiProblem(
    'archiver-unavailable',
    'append-only files are captured on their host, and no archiver runs here: start it, or use source psync',
  );
}

function addChange(app: ApiApp, { control }: ApiPorts, gate: Gate): void {
  app.patch(
    '/v1/instances/:instance',
    {
      config: { scope: 'admin', problems },
      schema: {
        operationId: 'changeInstance',
        summary: 'Changes how the node of an instance is logged in to.',
        description:
          'The node must accept it first; the archiver then goes on with it in the same timeline. Another node is another instance: that is refused.',
        ...{ tags, params: instanceParams, body: InstanceChangeBody },
        response: { 200: { description: 'The instance as it is now.', ...ChangedSchema } },
      },
    },
    async (request) => {
      const { actor, body, params } = request;
      const { instance: id } = params;
      const { workspace, secrets, audit } = control;
      refuseOtherNode(id, body);
      await workspace.reload();
      const { url } = configuredEntry(id, workspace.config);
      const { user, passwordRef, preferReplica } = body;
      const file =
        passwordRef == null
          ? passwordRef
          : await requireFor(passwordRef, url, secrets, workspace.config);
      const change = {
        ...(user === undefined ? {} : { user }),
        ...(file === undefined ? {} : { password_file: file }),
        ...(preferReplica === undefined ? {} : { prefer_replica: preferReplica }),
      };
      const signal = callerSignal(request, WORK_MS);
      const warnings: string[] = [];
      await gate.through(() => changeLogin(id, change, { workspace, signal }));
      const detail = Object.keys(body).join(' ');
      audit.append({ actor, action: 'instance.change', instance: id, job: null, detail });
      // The configuration has changed: that the caller has left changes nothing about it.
      const late = workSignal(WORK_MS);
      const attached = await orWarn(warnings, () => reattachNode(id, { workspace, signal: late }));
      const row = instanceRows(workspace.catalog, workspace.config).find((one) => one.id === id);
      return { ...row, attached, warnings };
    },
  );
}

function refuseOtherNode(id: string, body: Readonly<Record<string, unknown>>): void {
  const name = ['url', 'source', 'aofDir'].find((each) => body[each] !== undefined);
  if (name === undefined) return;
  throw new ApiProblem(
    'refused',
    `the ${name} of an instance is not changed: its history is that of one node. Release it (DELETE /v1/instances/${id}) and add it again (POST /v1/instances): its history goes on`,
    { faults: [{ pointer: `/${name}`, detail: 'is not changed by request' }] },
  );
}

/** What the archiver does not manage now it tries again by itself: the caller is told. */
async function orWarn(warnings: string[], work: () => Promise<boolean>): Promise<boolean> {
  try {
    return await work();
  } catch (cause) {
    if (!(cause instanceof TidemarkError)) throw cause;
    warnings.push(`the archiver could not take it up yet: ${cause.message}`);
    return false;
  }
}
