import { randomBytes } from 'node:crypto';
import type {
  Bus,
  BusMessage,
  BusPorts,
  BusSettings,
  ConsumeOptions,
  JoinOptions,
  Membership,
  ReadOptions,
  TopicName,
} from '../bus.ts';
import { Member, REVOKE_MS_MAX } from '../group/membership.ts';
import { openClient, REQUEST_MS } from './client.ts';
import { consume } from './consume.ts';
import { ensureTopics } from './ensure-topics.ts';
import { GroupLink } from './group-link.ts';
import { Publisher } from './publisher.ts';
import { readTopics } from './read-topics.ts';

/** The bus on kafkajs. */
export class KafkaBus implements Bus {
  readonly #settings: BusSettings;
  readonly #ports: BusPorts;
  readonly #publisher: Publisher;

  constructor(settings: BusSettings, ports: BusPorts) {
    this.#settings = settings;
    // Two processes of one host are two members.
    const clientId = `${ports.clientId}-${randomBytes(4).toString('hex')}`;
    this.#ports = { ...ports, clientId };
    this.#publisher = new Publisher({ settings, ports: this.#ports });
  }

  topic(name: TopicName): string {
    return `${this.#settings.topicPrefix}${name}`;
  }

  ensureTopics(): Promise<void> {
    return ensureTopics({ settings: this.#settings, ports: this.#ports });
  }

  publish(topic: TopicName, messages: readonly BusMessage[]): Promise<void> {
    return this.#publisher.send(this.topic(topic), messages);
  }

  consume(options: ConsumeOptions): Promise<void> {
    const shared = { settings: this.#settings, ports: this.#ports };
    return consume(shared, options, (message) =>
      this.#publisher.send(this.topic('parked'), [message]),
    );
  }

  read(options: ReadOptions): Promise<number> {
    return readTopics({ settings: this.#settings, ports: this.#ports }, options);
  }

  joinGroup(options: JoinOptions): Membership {
    const settings = this.#settings;
    const { clock, logger } = this.#ports;
    const { sessionMs, revokeMsMax = REVOKE_MS_MAX } = options;
    const facts = {
      group: `${settings.topicPrefix}${options.group}`,
      topic: this.topic(options.topic),
      sessionMs,
      // The others are waited for while they let go of what they work on.
      rebalanceMs: sessionMs + revokeMsMax,
    };
    const connect = async (): Promise<{ link: GroupLink } & AsyncDisposable> => {
      const requestMs = Math.min(REQUEST_MS, sessionMs);
      const client = openClient({ settings, ports: this.#ports, requestMs });
      try {
        const link = await GroupLink.open(client, facts, clock);
        return {
          link,
          [Symbol.asyncDispose]: async () => {
            await link.close();
            client[Symbol.dispose]();
          },
        };
      } catch (error) {
        client[Symbol.dispose]();
        throw error;
      }
    };
    return new Member(options, { clock, logger, connect });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#publisher[Symbol.asyncDispose]();
  }
}
