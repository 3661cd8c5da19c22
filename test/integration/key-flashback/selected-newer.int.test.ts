import { describeSelections } from '../../support/key-flashback/selection-suite.ts';
import { onServerInTurn } from '../../support/key-flashback/server-in-turn.ts';
import { chooseSeed } from '../../support/workload.ts';

const seed = chooseSeed('selected keys of a newer server');

onServerInTurn(seed, ({ server, fields, newest }) => {
  describeSelections({
    name: `selected keys of ${server.name}, one newer server in turn`,
    ...{ server, seed, seconds: 10, selectors: 10 },
    workload: { fields, newest },
  });
});
