import { execFile } from 'node:child_process';
import { cpSync, existsSync, readdirSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, it } from 'vitest';
import { ChildServer, freePort } from './child-server.ts';
import { serversRequired } from './servers.ts';
import { TempDir } from './temp-dir.ts';

/** What scripts/install-kafka.sh has put there. */
const CACHE = fileURLToPath(new URL('../../.cache/kafka', import.meta.url));
const execFileAsync = promisify(execFile);
/** Any will do: each test has a broker of its own. */
const CLUSTER_ID = 'AAAAAAAAQACAAAAAAAAAAQ';
const START_SECONDS_MAX = 90;
/** For a machine that does much else: a broker takes seconds of CPU to start. */
const TEST_MS_MAX = 300_000;
const JAVA_OPTIONS = [
  ...['-Xms48m', '-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-XX:-UsePerfData'],
  '-Xshare:auto',
];

/** Why there is no broker, in one line; null when there is one. */
export function whyNoKafka(): string | null {
  if (existsSync(join(CACHE, 'version'))) return null;
  const told = join(CACHE, 'unavailable');
  const why = existsSync(told) ? readFileSync(told, 'utf8').trim() : 'run `make kafka`';
  return `Kafka is not on this machine (${why})`;
}

/**
 * A group of tests on a real broker. Where it cannot be had, one test stands for the group: skipped,
 * with the reason in its name, or failed when `TIDEMARK_REQUIRE=all`.
 */
export function describeWithKafka(name: string, tests: () => void): void {
  const reason = whyNoKafka();
  if (reason === null) {
    describe(name, { timeout: TEST_MS_MAX }, tests);
    return;
  }
  it.skipIf(!serversRequired())(`${name}: ${reason}`, () => {
    throw new Error(reason);
  });
}

/** Who may talk to a broker, and how. */
export interface BrokerSecurity {
  /** PEM of certificate and key (PKCS 8): TLS. */
  readonly tls?: { readonly cert: string; readonly key: string };
  /** A user, by PLAIN and by SCRAM-SHA-512. */
  readonly sasl?: { readonly username: string; readonly password: string };
}

/** What a test may want otherwise. */
export interface StartBrokerOptions extends BrokerSecurity {
  /** Lines of server.properties over the usual ones. */
  readonly properties?: Readonly<Record<string, string>>;
  /**
   * A second way in: clients that come to `port` are told to go on at `advertised`, where a proxy
   * leads to `port`.
   */
  readonly beside?: { readonly port: number; readonly advertised: number };
}

/**
 * A real Kafka broker (KRaft, broker and controller in one process) on loopback, removed with
 * `await using`. Its data outlasts `kill`, `stop` and `restart`.
 */
export class KafkaBroker implements AsyncDisposable {
  readonly #temp: TempDir;
  readonly #options: StartBrokerOptions;
  readonly #child = new ChildServer('the broker', START_SECONDS_MAX);
  #ports = { broker: 1, controller: 2 };

  private constructor(options: StartBrokerOptions, temp: TempDir) {
    this.#options = options;
    this.#temp = temp;
  }

  static async start(options: StartBrokerOptions = {}): Promise<KafkaBroker> {
    const broker = new KafkaBroker(options, await TempDir.create('tidemark-kafka-'));
    try {
      if (options.sasl === undefined) {
        cpSync(join(CACHE, 'formatted'), broker.#data, { recursive: true });
      } else {
        await broker.#formatFor(options.sasl);
      }
      await broker.#child.start(async () => {
        broker.#ports = { broker: await freePort(), controller: await freePort() };
        return broker.#launch();
      });
      return broker;
    } catch (error) {
      await broker[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** HOST:PORT. */
  get address(): string {
    return `127.0.0.1:${this.#ports.broker}`;
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** SIGTERM and wait; SIGKILL when it does not end by itself. */
  async stop(): Promise<void> {
    await this.#child.end('SIGTERM');
  }

  /** SIGKILL and wait. */
  async kill(): Promise<void> {
    await this.#child.end('SIGKILL');
  }

  /** It answers nothing, and its connections stay. */
  freeze(): void {
    this.#child.signal('SIGSTOP');
  }

  thaw(): void {
    this.#child.signal('SIGCONT');
  }

  /** Starts on the same port and data. */
  async restart(): Promise<void> {
    await this.#child.restart(() => this.#launch());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await this.#temp[Symbol.asyncDispose]();
  }

  /** Users of SCRAM stand in the data of the controller. */
  async #formatFor({ username, password }: { username: string; password: string }): Promise<void> {
    const properties = join(this.#temp.path, 'server.properties');
    await writeFile(properties, this.#properties(), { mode: 0o600 });
    const user = `SCRAM-SHA-512=[name=${username},password=${password}]`;
    const tool = ['kafka.tools.StorageTool', 'format', '-t', CLUSTER_ID, '-c', properties];
    await execFileAsync('java', ['-cp', classPath(), ...tool, '--add-scram', user]);
  }

  get #data(): string {
    return join(this.#temp.path, 'data');
  }

  async #launch(): Promise<boolean> {
    const properties = join(this.#temp.path, 'server.properties');
    await writeFile(properties, this.#properties(), { mode: 0o600 });
    return this.#child.launch({
      program: 'java',
      args: [...JAVA_OPTIONS, '-cp', classPath(), 'kafka.Kafka', properties],
      isUp: () => accepts(this.#ports.broker),
    });
  }

  #properties(): string {
    const { broker, controller } = this.#ports;
    const { tls, sasl, beside } = this.#options;
    const protocol = `${sasl === undefined ? '' : 'SASL_'}${tls === undefined ? 'PLAINTEXT' : 'SSL'}`;
    const lines: Record<string, string> = {
      'process.roles': 'broker,controller',
      'node.id': '1',
      'controller.quorum.voters': `1@127.0.0.1:${controller}`,
      listeners: `CLIENTS://127.0.0.1:${broker},CONTROLLER://127.0.0.1:${controller}${besideAt(beside?.port)}`,
      'advertised.listeners': `CLIENTS://127.0.0.1:${broker}${besideAt(beside?.advertised)}`,
      'controller.listener.names': 'CONTROLLER',
      'inter.broker.listener.name': 'CLIENTS',
      'listener.security.protocol.map': `CLIENTS:${protocol},BESIDE:${protocol},CONTROLLER:PLAINTEXT`,
      'log.dirs': this.#data,
      'log.index.size.max.bytes': '65536',
      'auto.create.topics.enable': 'false',
      'offsets.topic.num.partitions': '1',
      'offsets.topic.replication.factor': '1',
      'share.coordinator.state.topic.replication.factor': '1',
      'transaction.state.log.replication.factor': '1',
      'transaction.state.log.min.isr': '1',
      'group.initial.rebalance.delay.ms': '0',
      'group.min.session.timeout.ms': '500',
      'log.cleaner.enable': 'false',
      'num.io.threads': '2',
      'num.network.threads': '2',
      'background.threads': '2',
      ...(tls === undefined ? {} : tlsLines(tls)),
      ...(sasl === undefined ? {} : saslLines(sasl)),
      ...this.#options.properties,
    };
    return Object.entries(lines)
      .map(([name, value]) => `${name}=${value}\n`)
      .join('');
  }
}

function classPath(): string {
  const jars = readdirSync(join(CACHE, 'libs')).sort();
  return jars.map((jar) => join(CACHE, 'libs', jar)).join(':');
}

function besideAt(port: number | undefined): string {
  return port === undefined ? '' : `,BESIDE://127.0.0.1:${port}`;
}

function tlsLines({ cert, key }: { cert: string; key: string }): Record<string, string> {
  const oneLine = (pem: string): string => pem.trim().replaceAll('\n', '\\n');
  return {
    'listener.name.clients.ssl.keystore.type': 'PEM',
    'listener.name.clients.ssl.keystore.certificate.chain': oneLine(cert),
    'listener.name.clients.ssl.keystore.key': oneLine(key),
    'listener.name.clients.ssl.truststore.type': 'PEM',
    'listener.name.clients.ssl.truststore.certificates': oneLine(cert),
  };
}

/** The broker talks to itself as the same user. */
function saslLines({
  username,
  password,
}: {
  username: string;
  password: string;
}): Record<string, string> {
  const login = 'org.apache.kafka.common.security.plain.PlainLoginModule required';
  return {
    'sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-512',
    'sasl.mechanism.inter.broker.protocol': 'PLAIN',
    'listener.name.clients.plain.sasl.jaas.config': `${login} username="${username}" password="${password}" user_${username}="${password}";`,
    'listener.name.clients.scram-sha-512.sasl.jaas.config':
      'org.apache.kafka.common.security.scram.ScramLoginModule required;',
  };
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
