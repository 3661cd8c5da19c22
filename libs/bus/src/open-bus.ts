import type { Bus, BusPorts, BusSettings } from './bus.ts';

/**
 * A bus over a Kafka cluster (4.x; 2.1 and newer speak the same requests). Connects when it is first
 * used: a cluster that is away is no reason not to start.
 *
 * kafkajs is loaded here and nowhere else.
 */
export async function openBus(settings: BusSettings, ports: BusPorts): Promise<Bus> {
  const { KafkaBus } = await import('./kafka/kafka-bus.ts');
  return new KafkaBus(settings, ports);
}
