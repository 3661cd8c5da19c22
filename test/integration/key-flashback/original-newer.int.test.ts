import { describeOriginal } from '../../support/key-flashback/original-suite.ts';
import { onServerInTurn } from '../../support/key-flashback/server-in-turn.ts';
import { chooseSeed } from '../../support/workload.ts';

const seed = chooseSeed('keys of a newer original');

onServerInTurn(seed, ({ server, newest }) => {
  describeOriginal({
    name: `selected keys of a running ${server.name}, one newer server in turn`,
    ...{ server, seed, seconds: 4, selectors: 3 },
    workload: { newest },
  });
});
