/** What `--pass-file` takes, for the help. */
export const PASS_FILE =
  'the password: a file whose first line it is, env:NAME, or - to be asked for it';
