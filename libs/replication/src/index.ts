export { openFeed } from './feed/open-feed.ts';
export type {
  Feed,
  FeedOptions,
  FeedPhase,
  FeedProgress,
  FeedResult,
  FeedTimeouts,
} from './feed/options.ts';
