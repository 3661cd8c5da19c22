import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ArchiverProcess } from './tidemark-cli.ts';

/** Prefix of the store of a fleet. */
export const PREFIX = 'fleet';

/** A host of a fleet: a state folder, and an archiver while one runs. */
export interface FleetHost {
  readonly name: string;
  readonly config: string;
  readonly stateDir: string;
  process: ArchiverProcess | null;
}

/** What a host reaches, and where. */
export interface HostPlaces {
  readonly name: string;
  /** A fleet has 5 s at the most. */
  readonly heartbeat: string;
  readonly broker: string;
  readonly endpoint: string;
  readonly bucket: string;
  readonly shards: readonly {
    readonly instance: string;
    readonly server: { readonly port: number };
  }[];
}

/** Makes the state folder and the configuration of a host. */
export async function makeHost(
  dir: string,
  { name, heartbeat, broker, endpoint, bucket, shards }: HostPlaces,
): Promise<FleetHost> {
  const stateDir = join(dir, name);
  await mkdir(stateDir, { mode: 0o700 });
  const config = join(dir, `${name}.toml`);
  const text = `version = 1
[store]
url = "s3://${bucket}/${PREFIX}"
region = "us-east-1"
endpoint = "${endpoint}"
force_path_style = true
[state]
dir = "${stateDir}"
[keys]
ring = "${join(dir, 'ring')}"
[archiver]
fleet = true
roll_max_age = "2s"
heartbeat = "${heartbeat}"
[events]
brokers = ["${broker}"]
`;
  const instances = shards.map(
    ({ instance, server }) =>
      `[[instance]]\nid = "${instance}"\nurl = "redis://127.0.0.1:${server.port}"\nsource = "psync"\n`,
  );
  await writeFile(config, text + instances.join(''), { mode: 0o600 });
  return { name, config, stateDir, process: null };
}
