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
