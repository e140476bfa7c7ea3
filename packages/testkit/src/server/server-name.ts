import * as v from 'valibot';

/** Names become parts of folders, replication slots and application names. */
const NAME = /^[a-z][a-z0-9-]{0,39}$/;

/** The name of a server, as an option. */
export const serverNameOption = v.pipe(
  v.string(),
  v.regex(
    NAME,
    (issue) =>
      `must be 1 to 40 small letters, digits and '-', a letter first, received ${issue.received}`,
  ),
);
