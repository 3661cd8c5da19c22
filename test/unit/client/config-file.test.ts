import { encodeConfigFile } from '@tidemark/client';
import { describe, expect, it } from 'vitest';

describe('encodeConfigFile()', () => {
  it('quotes every value so that it stays one value', () => {
    expect(
      encodeConfigFile({
        requirepass: 'a "b" \\ \n#é',
        save: '',
        bind: '127.0.0.1  ::1',
        user: ['a on >x', 'b off'],
        dir: '/tmp/with space',
      }),
    ).toBe(
      'requirepass "a \\"b\\" \\\\ \\x0a#\\xc3\\xa9"\nsave ""\nbind "127.0.0.1" "::1"\n' +
        'user "a" "on" ">x"\nuser "b" "off"\ndir "/tmp/with space"\n',
    );
  });

  it.each(['', 'Dir', 'a b', 'include\n', '-x', 'x=y'])('refuses the name %j', (name) => {
    expect(() => encodeConfigFile({ [name]: 'x' })).toThrow(
      expect.objectContaining({ code: 'TM_USAGE', context: { name } }),
    );
  });
});
