/** Plans of restores that were shown: a restore that names one must ask for the same. */
export const PLAN_TABLES = `
CREATE TABLE IF NOT EXISTS plans (
  id TEXT PRIMARY KEY,
  instance TEXT NOT NULL,
  digest TEXT NOT NULL,
  until_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS plans_until ON plans (until_ms);
`;
