import { stderrLogger } from '@tidemark/archiver';
import { listParked } from '@tidemark/control';
import { systemClock } from '@tidemark/system';
import { loadConfig } from '@tidemark/workspace';
import type { Invocation } from '../invocation.ts';
import { table } from '../output/table.ts';

/** Lists messages that a host could not take, and why. */
export async function showParked({ configPath, printer, signal }: Invocation): Promise<void> {
  const config = await loadConfig(configPath);
  const logger = stderrLogger({ service: 'fleet' });
  const parked = await listParked(config, { clock: systemClock, logger, signal });
  printer.result({ parked: [...parked] }, () =>
    parked.length === 0
      ? ['no message is parked']
      : table(
          ['TOPIC', 'PARTITION', 'OFFSET', 'READER', 'BYTES', 'CODE', 'REASON'],
          parked.map(({ topic, partition, offset, group, bytes, code, reason }) => [
            ...[topic, String(partition), offset, group, String(bytes), code, reason],
          ]),
        ),
  );
}
