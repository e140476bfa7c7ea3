/** The few methods of `pg` that this package needs, declared here so that any pool of that shape will do. */
export interface Queryable {
  query<Row extends object = Record<string, unknown>>(
    text: string,
    values?: readonly unknown[],
  ): Promise<QueryAnswer<Row>>;
}

/** What a statement returned. */
export interface QueryAnswer<Row> {
  readonly rows: Row[];
  readonly rowCount: number | null;
}
