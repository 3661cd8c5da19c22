import { Type, type Static } from 'typebox';

const closed = { additionalProperties: false } as const;

const InstanceSchema = Type.Object(
  {
    id: Type.String({ pattern: '^[a-z0-9][a-z0-9-]{0,62}$' }),
    url: Type.String(),
    user: Type.Optional(Type.String()),
    password_file: Type.Optional(Type.String()),
    source: Type.Optional(Type.Literal('aof')),
    aof_dir: Type.String(),
  },
  closed,
);

/** The shape of tidemark.toml. Unknown names are errors; defaults stand in load.ts. */
export const ConfigSchema = Type.Object(
  {
    version: Type.Literal(1),
    store: Type.Object({ url: Type.String() }, closed),
    state: Type.Object({ dir: Type.String(), spool_max: Type.Optional(Type.String()) }, closed),
    keys: Type.Object(
      { provider: Type.Optional(Type.Literal('ring')), ring: Type.String() },
      closed,
    ),
    archiver: Type.Optional(
      Type.Object(
        {
          roll_max_age: Type.Optional(Type.String()),
          roll_max_bytes: Type.Optional(Type.String()),
          pin_max: Type.Optional(Type.String()),
          pin_max_age: Type.Optional(Type.String()),
          heartbeat: Type.Optional(Type.String()),
        },
        closed,
      ),
    ),
    policy: Type.Optional(
      Type.Object(
        {
          days: Type.Optional(Type.Array(Type.String())),
          hours: Type.Optional(Type.Array(Type.String())),
          retain: Type.Optional(Type.String()),
        },
        closed,
      ),
    ),
    instance: Type.Optional(Type.Array(InstanceSchema)),
  },
  closed,
);

/** tidemark.toml as it is written. */
export type ConfigFile = Static<typeof ConfigSchema>;
/** One `[[instance]]` of tidemark.toml. */
export type InstanceEntry = Static<typeof InstanceSchema>;
