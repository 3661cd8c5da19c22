// node scripts/image-files.mjs FOLDER
// What the program needs to run and nothing else, from a checkout that is built, into a new folder: the
// bundle, those packages that stay outside of it with what they need, and the licences of those within.
import { cp, readdir, readFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const out = process.argv[2];
if (out === undefined || existsSync(out))
  throw new Error('usage: image-files.mjs FOLDER (a new one)');

/** They fetch or build a native module when it is installed. */
const INSTALLERS = new Set(['prebuild-install', 'node-addon-api']);

/** Where Node finds a package from a folder; null when it is not installed, as optional ones may be. */
function placeOf(name, from) {
  for (let at = from; at.length >= root.length - 1; at = dirname(at)) {
    const place = join(at, 'node_modules', name);
    if (existsSync(join(place, 'package.json'))) return place;
  }
  return null;
}

/** The packages that one in a folder needs: name and folder. */
async function needsOf(folder) {
  const manifest = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'));
  const { dependencies = {}, optionalDependencies = {} } = manifest;
  const needs = [];
  for (const name of Object.keys({ ...dependencies, ...optionalDependencies })) {
    const place = placeOf(name, folder);
    if (place !== null) needs.push({ name, place });
    else if (!(name in optionalDependencies)) throw new Error(`${name} is not installed`);
  }
  return needs;
}

const isOwn = ({ name }) => name.startsWith('@tidemark/');

/** Everything that a list of packages needs, and the list. */
async function closure(list, taken) {
  const found = new Map();
  const pending = list.filter(taken);
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    if (found.has(next.place)) continue;
    found.set(next.place, next.name);
    pending.push(...(await needsOf(next.place)).filter(taken));
  }
  return found;
}

/** Types, maps and sources of native modules are for who builds; of a build the module itself stays. */
function runs(folder, native, path) {
  const [first = '', second = 'Release'] = relative(folder, path).split('/');
  if (first === 'node_modules' || /\.([cm]?ts|map)$/.test(path)) return false;
  if (native && first === 'build')
    return second === 'Release' && (/\.node$/.test(path) || /(build|Release)$/.test(path));
  return !(native && ['deps', 'src', 'binding.gyp'].includes(first));
}

const cli = join(root, 'services/cli');
for (const each of ['package.json', 'bin', 'dist/bundle'])
  await cp(join(cli, each), join(out, 'services/cli', each), { recursive: true });
await cp(join(root, 'LICENSE'), join(out, 'LICENSE'));

const all = await needsOf(cli);
const outside = await closure(all, (one) => !isOwn(one) && !INSTALLERS.has(one.name));
for (const place of outside.keys()) {
  const native = existsSync(join(place, 'binding.gyp'));
  const filter = (path) => runs(place, native, path);
  await cp(place, join(out, relative(root, place)), { recursive: true, filter });
}
const within = await closure(all, ({ place }) => !outside.has(place));
for (const [place, name] of within) {
  if (isOwn({ name })) continue;
  for (const file of await readdir(place))
    if (/^(licen[cs]e|notice|copying)/i.test(file))
      await cp(join(place, file), join(out, 'licenses', name, file), { recursive: true });
}
