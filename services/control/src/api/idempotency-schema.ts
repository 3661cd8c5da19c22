/** Answers that are given again for the same Idempotency-Key; a row without a status is being answered. */
export const IDEMPOTENCY_TABLES = `
CREATE TABLE IF NOT EXISTS answers (
  actor TEXT NOT NULL,
  key TEXT NOT NULL,
  digest TEXT NOT NULL,
  at_ms INTEGER NOT NULL,
  until_ms INTEGER NOT NULL,
  status INTEGER,
  headers TEXT,
  body TEXT,
  PRIMARY KEY (actor, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS answers_until ON answers (until_ms);
`;
