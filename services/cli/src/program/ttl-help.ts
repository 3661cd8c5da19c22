/** How the flag is explained by `--help`. */
export const TTL_HELP =
  'expiry times: absolute (as they were), remaining (what was left then is left from now on), ' +
  'rebase:TIME (left from TIME on), shift:DURATION (moved, as shift:+1h or shift:-90m), persist ' +
  '(dropped); what had expired by then stays expired (default: absolute, of selected keys remaining)';
