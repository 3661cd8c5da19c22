#!/usr/bin/env node
import { existsSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';

// Most memory here are buffers, which V8 frees when it collects its young generation. One that may
// not grow is collected often, and the buffers with it: less memory by a fifth, for no more time.
setFlagsFromString('--semi-space-growth-factor=1');
// `make build` makes the bundle, which starts faster; after a bare `tsc -b` there is none.
const bundle = new URL('../dist/bundle/main.js', import.meta.url);
await import(existsSync(bundle) ? bundle.href : '../dist/main.js');
