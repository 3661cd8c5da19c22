/** Where publishing goes on. Losing it costs messages that are sent twice. */
export const FLEET_TABLES = `
CREATE TABLE IF NOT EXISTS event_cursors (
  log TEXT PRIMARY KEY,
  seq INTEGER NOT NULL,
  digest TEXT NOT NULL
) STRICT, WITHOUT ROWID;
`;
