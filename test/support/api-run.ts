import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Clock } from '@tidemark/core';
import { createToken, openControl, type Control } from '@tidemark/control';
import { systemClock, systemRandom } from '@tidemark/system';
import { createApi, type Api } from '../../services/control/src/api/app.ts';
import type { ApiLimits } from '../../services/control/src/api/limits.ts';
import type { RegisterRoutes } from '../../services/control/src/api/types.ts';
import { openApi } from '../../services/control/src/serve-api.ts';
import { Tidemark } from './tidemark-cli.ts';

const AGAIN_MS = 500;
const PATIENT_TRIES = 120;

/** What a server of a test is made of. */
export interface ApiRunOptions {
  /** Lines of the configuration: `[auth]`, `[server]`, … */
  readonly settings?: string;
  readonly limits?: Partial<ApiLimits>;
  /** Default: those of the product. */
  readonly routes?: RegisterRoutes;
  readonly clock?: Clock;
  readonly tlsLookMs?: number;
  /** A folder that is there already; it stays. */
  readonly tidemark?: Tidemark;
}

/** An answer, with its body read. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** Null when it is no JSON. */
  readonly body: Readonly<Record<string, unknown>> | null;
}

/** What of a request is said. */
export interface Asked {
  readonly method?: string;
  readonly token?: string | null;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON; a string is sent as it is. */
  readonly body?: unknown;
}

/** Lines that a server logged. */
export type LoggedLine = Readonly<Record<string, unknown>>;

/** A server of the API in this process, on a port of its own, with the control plane of a real folder. */
export class ApiRun implements AsyncDisposable {
  readonly tidemark: Tidemark;
  readonly control: Control;
  readonly api: Api;
  readonly url: string;
  readonly log: LoggedLine[];
  /** Default of requests: a token with every scope. */
  readonly token: string;
  readonly #ownsFolder: boolean;

  private constructor(
    parts: Pick<ApiRun, 'tidemark' | 'control' | 'api' | 'url' | 'log' | 'token'>,
    owns: boolean,
  ) {
    this.tidemark = parts.tidemark;
    this.control = parts.control;
    this.api = parts.api;
    this.url = parts.url;
    this.log = parts.log;
    this.token = parts.token;
    this.#ownsFolder = owns;
  }

  static async start(options: ApiRunOptions = {}): Promise<ApiRun> {
    const { settings = '', limits = {}, routes, clock = systemClock, tlsLookMs } = options;
    const tidemark = options.tidemark ?? (await Tidemark.init([], settings, 'ring'));
    const log: LoggedLine[] = [];
    const logger = memoryLogger(log);
    const random = systemRandom;
    const control = await openControl({ configPath: tidemark.config, clock, random, logger });
    const configured = control.workspace.config.api;
    const listening = { ...configured, listen: { host: '127.0.0.1', port: 0 } };
    const api =
      routes === undefined
        ? await openApi(control, listening, limits)
        : await createApi({
            ports: { control, clock, random, logger },
            ...{ settings: listening, limits, routes },
            ...(tlsLookMs === undefined ? {} : { tlsLookMs }),
          });
    const url = await api.listen();
    const { tokensFile, auth } = listening;
    const scope = 'read,backup,restore,admin,key:read';
    const made =
      tokensFile === null || auth !== 'token'
        ? null
        : await createToken(
            tokensFile,
            `all-${log.length}-${Date.now()}`,
            { scope, expiresMs: null },
            random,
          );
    const token = made?.token ?? '';
    return new ApiRun({ tidemark, control, api, url, log, token }, options.tidemark === undefined);
  }

  /** Another token. */
  async tokenOf(name: string, scope: string, expiresMs: number | null = null): Promise<string> {
    const path = join(this.tidemark.dir, 'tokens');
    return (await createToken(path, name, { scope, expiresMs }, systemRandom)).token;
  }

  /** Asks; a `null` token sends none. */
  ask(path: string, asked: Asked = {}): Promise<Answer> {
    return askApi(this.url, this.token, path, asked);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.api.drain();
    await this.control[Symbol.asyncDispose]();
    if (this.#ownsFolder) await this.tidemark[Symbol.asyncDispose]();
  }
}

/**
 * Asks a server of the API.
 * @param own - The token that is sent when the request names none.
 */
export async function askApi(
  url: string,
  own: string,
  path: string,
  { method = 'GET', token = own, headers = {}, body }: Asked = {},
): Promise<Answer> {
  const sent = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
  const response = await fetch(`${url}${path}`, {
    method,
    headers: {
      ...(token === null || token === '' ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(sent === undefined ? {} : { body: sent }),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, body: jsonOf(text) };
}

/** Asks again as long as the server has too much to do, which a busy machine makes it; nothing was begun then. */
export async function askPatiently(ask: () => Promise<Answer>): Promise<Answer> {
  for (let tries = 1; ; tries++) {
    const answer = await ask();
    if (answer.status !== 503 || tries >= PATIENT_TRIES) return answer;
    await delay(AGAIN_MS);
  }
}

function jsonOf(text: string): Readonly<Record<string, unknown>> | null {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return null;
  }
}

function memoryLogger(lines: LoggedLine[]): Control['logger'] {
  const take =
    (level: string, own: LoggedLine) =>
    (message: string, fields: LoggedLine = {}): void => {
      lines.push({ level, ...own, ...fields, msg: message });
    };
  const child = (own: LoggedLine): Control['logger'] => ({
    info: take('info', own),
    warn: take('warn', own),
    error: take('error', own),
    child: (more) => child({ ...own, ...more }),
  });
  return child({});
}
