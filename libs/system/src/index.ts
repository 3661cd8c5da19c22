export { editFile, nextOf } from './edit-file.ts';
export { replaceFile, type ReplaceFileOptions } from './replace-file.ts';
export { systemClock } from './system-clock.ts';
export { systemRandom } from './system-random.ts';
