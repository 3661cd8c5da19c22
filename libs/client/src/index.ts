export { encodeConfigFile } from './server/config-file.ts';
export {
  startServer,
  type ServerExit,
  type ServerProcess,
  type StartServerOptions,
} from './server/start-server.ts';
