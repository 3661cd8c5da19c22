import { describe, expect, it } from 'vitest';
import { missingModules } from '../../../../services/restorer/src/target/module-support.ts';

describe('missingModules()', () => {
  it('finds nothing missing when nothing is needed', () => {
    expect(missingModules([], [])).toEqual([]);
  });

  it('knows which module brings a type', () => {
    const loaded = ['ReJSON', 'bf', 'timeseries', 'search', 'vectorset'];
    const types = ['ReJSON-RL', 'MBbloom--', 'TopK-TYPE', 'TSDB-TYPE', 'ft_index0', 'vectorset'];
    expect(missingModules(types, loaded)).toEqual([]);
    expect(missingModules(types, ['bf'])).toEqual([
      'ReJSON-RL',
      'TSDB-TYPE',
      'ft_index0',
      'vectorset',
    ]);
  });

  it('takes an unknown type for missing unless a module of its name is loaded', () => {
    expect(missingModules(['gearsreg0', 'mymodtyp1'], ['mymodtyp'])).toEqual(['gearsreg0']);
    expect(missingModules(['bfother--'], ['bf'])).toEqual(['bfother--']);
  });
});
