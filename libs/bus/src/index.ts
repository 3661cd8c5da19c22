export type {
  Bus,
  BusDelivery,
  BusLogFields,
  BusLogger,
  BusMessage,
  BusPorts,
  BusSettings,
  ConsumeOptions,
  JoinOptions,
  Membership,
  MembershipState,
  ReadOptions,
  RevokeReason,
  TopicName,
} from './bus.ts';
export { openBus } from './open-bus.ts';
export { SLOTS, slotOf } from './group/slots.ts';
export { describeParked, type ParkedMessage } from './parked.ts';
export {
  catalogFromTopic,
  type TopicCatalogParts,
  type TopicCatalogReport,
} from './events/catalog-from-topic.ts';
export { LogPublisher, type Cursor, type LogPublisherParts } from './events/log-publisher.ts';
export {
  decodeEventMessage,
  encodeEventMessage,
  type EventMessage,
  type LogName,
} from './events/event-message.ts';
export { eventType } from './events/event-types.ts';
export { TopicStore, type TopicCounts } from './events/topic-store.ts';
export {
  openJobNote,
  readJobNote,
  sealJobNote,
  type JobNote,
  type JobNoteKind,
  type SealedJobNote,
} from './jobs/job-note.ts';
