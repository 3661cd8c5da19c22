export { formatSecond, parseTime, type WantedTime } from '@tidemark/workspace';
