export { commandArguments } from './command.ts';
export { RespDecoder, type RespLimits, type RespValue } from './decoder.ts';
export {
  encodeBulk,
  encodeCommand,
  encodeError,
  encodeInteger,
  encodeSimple,
  type CommandArgument,
} from './encode.ts';
