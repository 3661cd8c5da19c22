import { listUndoParts, openUndoPart, type UndoSource } from './undo-objects.ts';

/**
 * Reads and authenticates every part of an undo pack.
 * @param onPart - Told the sealed bytes of each.
 * @throws StoreError, KeyError, IntegrityError, FormatError that name the object.
 */
export async function verifyUndoPack(
  instance: string,
  restore: string,
  source: UndoSource,
  onPart: (bytes: number) => void,
): Promise<void> {
  for (const place of await listUndoParts(instance, restore, source)) {
    await using part = await openUndoPart(place, source);
    const items = part.items();
    while ((await items.next()).done !== true);
    onPart(place.size);
  }
}
