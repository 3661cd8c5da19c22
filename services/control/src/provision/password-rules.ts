import { UsageError } from '@tidemark/core';

const SPECIAL = '!@#$%^&*()_+-=';
const LENGTH_MIN = 8;
const LENGTH_MAX = 32;
const CLASSES_MIN = 3;

/**
 * Checks the password of a new server: 8 to 32 characters, of at least three of the four classes
 * upper case, lower case, digit and `!@#$%^&*()_+-=`, and no others.
 * @throws UsageError `TM_PASSWORD` with `context.rule`: `length`, `characters` or `classes`. It never
 *   holds the password.
 */
export function checkPassword(password: string): void {
  const characters = Array.from(password);
  if (characters.length < LENGTH_MIN || characters.length > LENGTH_MAX) throw refused('length');
  const classes = new Set<string>();
  for (const character of characters) {
    if (/[A-Z]/.test(character)) classes.add('upper');
    else if (/[a-z]/.test(character)) classes.add('lower');
    else if (/[0-9]/.test(character)) classes.add('digit');
    else if (SPECIAL.includes(character)) classes.add('special');
    else throw refused('characters');
  }
  if (classes.size < CLASSES_MIN) throw refused('classes');
}

function refused(rule: 'length' | 'characters' | 'classes'): UsageError {
  return new UsageError('TM_PASSWORD', 'the password is not by the rules', {
    context: { rule },
    hint: `${LENGTH_MIN} to ${LENGTH_MAX} characters, of at least three of: upper case, lower case, digits, ${SPECIAL}`,
  });
}
