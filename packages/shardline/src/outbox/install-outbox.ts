import outboxSql from './outbox.sql';

/** What speaks to one database. */
interface Database {
  query(text: string): Promise<unknown>;
}

/** Makes the table of the outbox, unless it is there. Needs a role that may create schemas. */
export async function installOutbox(database: Database): Promise<void> {
  await database.query(outboxSql);
}
