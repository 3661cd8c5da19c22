import {
  factsJson,
  NODE_FACTS_PLACE,
  objectIdentity,
  packFacts,
  type FactsPart,
  type NodeFactsRecord,
} from '@tidemark/archive';
import { BODY_BYTES_MAX, type ObjectRef } from '@tidemark/catalog';
import { TidemarkError, type Random } from '@tidemark/core';
import { COMPRESSION, OBJECT_KIND, sealBytes, type DataKey } from '@tidemark/crypto';

/** What the header and tags of the container may add. */
const CONTAINER_BYTES = 8 * 1024;
/** What is left out first when the facts are too large: it is the part that has no bound. */
const LEFT_OUT: readonly FactsPart[] = ['acl', 'commands'];

/** Facts as they are stored: their one JSON text, and that packed. */
export interface PackedFacts {
  readonly json: Buffer;
  readonly packed: Buffer;
}

/** Packs facts so that they fit into a log entry; what had to be left out stands in `unread`. */
export function packWithinLimit(facts: NodeFactsRecord): PackedFacts {
  let fitting = facts;
  for (const part of LEFT_OUT) {
    const packed = tryPack(fitting);
    if (packed !== null) return packed;
    const unread = [...fitting.unread, { part, code: 'TM_LIMIT' }];
    fitting = { ...fitting, [part]: null, unread };
  }
  const packed = tryPack(fitting);
  if (packed !== null) return packed;
  throw new TidemarkError('TM_LIMIT', 'the settings of the node are too large to be stored');
}

function tryPack(facts: NodeFactsRecord): PackedFacts | null {
  let json: Buffer;
  try {
    json = factsJson(facts);
  } catch (cause) {
    if (cause instanceof TidemarkError && 'bytesMax' in cause.context) return null;
    throw cause;
  }
  const packed = packFacts(json);
  return packed.length + CONTAINER_BYTES <= BODY_BYTES_MAX ? { json, packed } : null;
}

/** Seals packed facts as the body of a log entry. */
export function sealFacts(
  packed: Buffer,
  dataKey: DataKey,
  options: { readonly instance: string; readonly writer: string; readonly random: Random },
): { readonly object: ObjectRef; readonly body: Buffer } {
  const { instance, writer, random } = options;
  const kind = OBJECT_KIND.nodeFacts;
  const { bytes, digest } = sealBytes(packed, {
    dataKey,
    kind,
    compression: COMPRESSION.zstd,
    identity: objectIdentity({ iid: instance, writer, ...NODE_FACTS_PLACE, kind, key: null }),
    random,
  });
  const object = { key: null, size: bytes.length, digest, dekId: dataKey.id, kind };
  return { object, body: bytes };
}
