import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openControl } from '@tidemark/control';
import { watchHosts } from '../../../services/control/src/hosts/watch-hosts.ts';
import { systemClock, systemRandom } from '@tidemark/system';
import { beforeAll, describe, expect, it } from 'vitest';
import { ArchiverMetrics } from '../../../services/archiver/src/metrics/archiver-metrics.ts';
import { describeWithPromtool } from '../../support/promtool.ts';
import { familiesOf } from '../../support/scrape.ts';
import { Tidemark } from '../../support/tidemark-cli.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const RULES = join(ROOT, 'deploy/prometheus/tidemark.rules.yaml');
const QUIET = { info: () => undefined, warn: () => undefined, error: () => undefined };
const logger = { ...QUIET, child: () => logger };

/** The expositions of an archiver and of API and workers, on one workspace. */
async function expositions(): Promise<{ readonly archiver: string; readonly control: string }> {
  await using tidemark = await Tidemark.init();
  await using control = await openControl({
    ...{ configPath: tidemark.config, clock: systemClock, random: systemRandom, logger },
  });
  await control.metrics.begin();
  const over = new AbortController();
  const watching = watchHosts(control, over.signal);
  over.abort();
  await watching;
  control.metrics.request({ method: 'GET', route: '/v1/jobs', status: 200, seconds: 0.1 });
  const { stateDir, spoolBytesMax, limits } = control.workspace.config;
  const metrics = await ArchiverMetrics.open(
    { listen: { host: '127.0.0.1', port: 0 }, retainSeconds: 60 },
    { stateDir, spoolBytesMax, limits, clock: systemClock, logger },
  );
  const { store, keys } = control.workspace;
  await using _shown = await metrics.serve({ captures: () => [], store, keys });
  return {
    archiver: (await metrics.exposition()).text,
    control: (await control.metrics.exposition()).text,
  };
}

let shown: { readonly archiver: string; readonly control: string };
let families: ReadonlyMap<string, string>;
beforeAll(async () => {
  shown = await expositions();
  families = new Map([...familiesOf(shown.archiver), ...familiesOf(shown.control)]);
});

/** Names of metrics in a text, without what a histogram adds to its own. */
function namesIn(text: string): readonly string[] {
  const names = [...text.matchAll(/\btidemark_[a-z0-9_]+\b/g)].map(([name]) => name);
  return [...new Set(names)].map((name) => {
    const base = name.replace(/_(bucket|sum|count)$/, '');
    return families.get(base) === 'histogram' ? base : name;
  });
}

function filesIn(folder: string): readonly string[] {
  return readdirSync(join(ROOT, folder)).map((name) => join(ROOT, folder, name));
}

describe('the names of metrics', () => {
  it('in dashboards, alert rules and their tests are names that are shown', () => {
    for (const file of [...filesIn('deploy/grafana'), ...filesIn('deploy/prometheus')]) {
      const names = namesIn(readFileSync(file, 'utf8'));
      expect(
        names.filter((name) => !families.has(name)),
        file,
      ).toEqual([]);
    }
    expect(namesIn(readFileSync(RULES, 'utf8')).length).toBeGreaterThan(10);
  });

  it('stand in docs/metrics.md, all of them and no others', () => {
    const text = readFileSync(join(ROOT, 'docs/metrics.md'), 'utf8');
    const [given = '', left = ''] = text.split('## What is left out');
    expect(namesIn(given).toSorted()).toEqual([...families.keys()].toSorted());
    const firstCells = left.split('\n').map((line) => line.split('|')[1] ?? '');
    const leftOut = firstCells.flatMap((cell) => [...cell.matchAll(/`(tidemark_[a-z0-9_]+)`/g)]);
    expect(leftOut.map(([, name = '']) => name).filter((name) => families.has(name))).toEqual([]);
    expect(leftOut.length).toBeGreaterThan(0);
  });

  it('are those of one kind in every process that shows them', () => {
    const [archiver, control] = [familiesOf(shown.archiver), familiesOf(shown.control)];
    for (const [name, type] of archiver) expect(control.get(name) ?? type).toBe(type);
  });

  it('an answer of the API is counted under the pattern of its route', () => {
    expect(shown.control).toContain(
      'tidemark_http_request_duration_seconds_count{method="GET",route="/v1/jobs",status="200"} 1',
    );
  });
});

describeWithPromtool('the parser of Prometheus', (promtool) => {
  it('reads what API and workers show, and finds nothing to say against its names', () => {
    expect(promtool(['check', 'metrics'], shown.control)).toBe('');
  });

  it('reads the alert rules and the example of a configuration', () => {
    expect(promtool(['check', 'rules', RULES])).toContain('SUCCESS');
    const example = join(ROOT, 'deploy/prometheus/prometheus.yaml');
    expect(promtool(['check', 'config', '--syntax-only', example])).toContain('SUCCESS');
  });

  it('every alert begins and ends when it is to, as its test says', () => {
    const tests = join(ROOT, 'deploy/prometheus/tidemark.rules.test.yaml');
    expect(promtool(['test', 'rules', tests])).toContain('SUCCESS');
    const alerts = [...readFileSync(RULES, 'utf8').matchAll(/alert: (\w+)/g)].map(
      ([, name]) => name,
    );
    const tested = readFileSync(tests, 'utf8');
    for (const name of alerts) expect(tested, name).toMatch(new RegExp(`alertname: ${name}\\b`));
  });
});
