export { RdbScanner } from './scan/scanner.ts';
