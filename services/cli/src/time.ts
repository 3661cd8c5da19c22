export { formatSecond, parseTime } from '@tidemark/workspace';
