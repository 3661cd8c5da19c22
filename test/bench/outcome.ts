/** What a figure is held against. */
export type Bar = { readonly atLeast: number } | { readonly atMost: number };

/** One line of the table and one entry of `build/bench.json`. */
export interface Outcome {
  readonly name: string;
  /** A ratio, megabytes (10^6 bytes), or CPU seconds for a gigabyte (10^9 bytes), as `unit` says. */
  readonly value: number;
  readonly unit: 'ratio' | 'MB' | 's/GB';
  /** null: for information only. */
  readonly bar: Bar | null;
  /** What was compared, or measured. */
  readonly of: string;
  readonly detail: string;
}

const FIGURE_NAMES = { ratio: 'ratio', MB: 'megabytes', 's/GB': 'cpuSecondsPerGigabyte' } as const;

/** Some outcomes that are measured together. */
export interface Bench {
  readonly names: readonly string[];
  readonly run: () => Promise<readonly Outcome[]>;
}

/** Whether the bar is met; null without one. */
export function isMet({ value, bar }: Outcome): boolean | null {
  if (bar === null) return null;
  return 'atLeast' in bar ? value >= bar.atLeast : value <= bar.atMost;
}

/** The outcomes as a table, with what was measured in detail below it. */
export function tableOf(outcomes: readonly Outcome[]): string {
  const rows = outcomes.map((outcome) => [
    outcome.name,
    `${outcome.value.toFixed(outcome.unit === 'MB' ? 0 : 2)}${unitText(outcome)}`,
    barText(outcome),
    verdictOf(outcome),
    outcome.of,
  ]);
  const head = ['name', 'measured', 'bar', 'verdict', 'of'];
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd();
  return [
    line(head),
    line(widths.map((width) => '-'.repeat(width))),
    ...rows.map(line),
    '',
    ...outcomes.map(({ name, detail }) => `${name}: ${detail}`),
  ].join('\n');
}

/** The outcomes as `build/bench.json` holds them. */
export function jsonOf(outcomes: readonly Outcome[]): Record<string, object> {
  return Object.fromEntries(
    outcomes.map((outcome) => {
      const { name, value, unit, bar, of, detail } = outcome;
      const rounded = Number(value.toPrecision(4));
      return [
        name,
        { [FIGURE_NAMES[unit]]: rounded, of, bar, verdict: verdictOf(outcome), detail },
      ];
    }),
  );
}

function unitText({ unit }: Outcome): string {
  return unit === 'ratio' ? '' : ` ${unit}`;
}

function barText(outcome: Outcome): string {
  const { bar } = outcome;
  if (bar === null) return '-';
  const [sign, limit] = 'atLeast' in bar ? ['>=', bar.atLeast] : ['<=', bar.atMost];
  return `${sign} ${limit}${unitText(outcome)}`;
}

function verdictOf(outcome: Outcome): string {
  const met = isMet(outcome);
  if (met === null) return 'for information';
  return met ? 'met' : 'MISSED';
}
