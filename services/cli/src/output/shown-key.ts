export { shownKey } from '@tidemark/selector';
