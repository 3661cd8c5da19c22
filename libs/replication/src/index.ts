export { openFeed } from './feed/open-feed.ts';
export type {
  Feed,
  FeedOptions,
  FeedPhase,
  FeedProgress,
  FeedResult,
  FeedTimeouts,
  FeedTls,
} from './feed/options.ts';
export { openReplicaLink } from './receive/open-replica-link.ts';
export type {
  LinkPhase,
  LinkStart,
  ReplicaLink,
  ReplicaLinkOptions,
  ReplicaLinkTimeouts,
} from './receive/options.ts';
