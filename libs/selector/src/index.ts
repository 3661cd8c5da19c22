export { keyOfText, shownKey } from './key-text.ts';
export { readKeys, type KeysFileLimits } from './keys-file.ts';
export type { KeyRule, SelectorSpec } from './selector-spec.ts';
export { compileSelector, type Selector } from './selector.ts';
export { selectorFromJson, selectorToJson } from './spec-json.ts';
