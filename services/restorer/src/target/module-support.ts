/**
 * Modules by the type names that stand in an RDB (nine characters, from the modules' own sources)
 * and the names that MODULE LIST shows for what brings them.
 */
const BROUGHT_BY: readonly (readonly [type: RegExp, modules: readonly string[]])[] = [
  [/^ReJSON-RL$/i, ['rejson', 'json']],
  [/^(MBbloom|bloomfltr|CMSk-TYPE|TopK-TYPE|TDIS-TYPE)/i, ['bf', 'bloom']],
  [/^(TSDB-TYPE)$/i, ['timeseries']],
  [/^(ft_|trietype|numericdx|tag_|vec_|sortidx|tempindex|SearchIdx|Vk-Search)/i, ['search', 'ft']],
  [/^vectorset$/i, ['vectorset']],
  [/^(graphdata|graphmeta)/i, ['graph', 'falkordb']],
];

const plain = (name: string): string => name.toLowerCase().replace(/[^a-z0-9]/g, '');

/**
 * Which of the types in a snapshot nothing on a server brings along.
 *
 * A server that meets a type of a module that it lacks ends while loading, so an unknown type counts
 * as missing unless a module of nearly its name is loaded.
 * @param types - Type names of the snapshot.
 * @param loaded - Names of MODULE LIST.
 */
export function missingModules(types: readonly string[], loaded: readonly string[]): string[] {
  const names = loaded.map(plain);
  return types.filter((type) => {
    const modules = BROUGHT_BY.find(([pattern]) => pattern.test(type))?.[1];
    if (modules !== undefined) return !modules.some((name) => names.includes(name));
    const stem = plain(type);
    return !names.some((name) => name === stem || (name.length >= 4 && stem.startsWith(name)));
  });
}
