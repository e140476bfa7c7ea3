import type { CacheNamespace } from '@shardline/cache';
import type { StandardSchemaV1 } from '@standard-schema/spec';
import type {
  EntityDefinition,
  EntityDefinitions,
  EventDefinition,
  KeyspaceDefinitions,
  KeyType,
  NamespaceDefinitions,
} from './config.js';
import type { Entity } from './entity/entity.js';

/**
 * From a configuration to the types of what is made of it: rows from schemas, keys from key types and
 * schemas, payloads from schemas or from the braces in what an event makes stale. Types alone; nothing of
 * this runs.
 */

/** A whole number that fits a `bigint` column, however it is written. */
type WholeNumber = bigint | number | `${bigint}`;

type KeyInput<Type extends KeyType> = Type extends 'bigint' ? WholeNumber : string;

/** What may be given for a value of a column: a big integer in any of its forms, all else as it is. */
type ColumnInput<Value> = Value extends bigint | number ? WholeNumber : Value;

type SchemaRow<Definition extends EntityDefinition> =
  Definition['schema'] extends StandardSchemaV1<infer _Input, infer Row>
    ? Row extends object
      ? Row
      : Record<string, unknown>
    : Record<string, unknown>;

type ColumnOf<
  Definition extends EntityDefinition,
  Column,
> = Column extends keyof SchemaRow<Definition>
  ? string extends keyof SchemaRow<Definition>
    ? string | number | bigint
    : ColumnInput<SchemaRow<Definition>[Column]>
  : string | number | bigint;

/** The rows of an entity, as its schema says. */
export type RowOf<Definition extends EntityDefinition> = SchemaRow<Definition>;

/** What a key of an entity may be: by the key type of its keyspace, else by its schema. */
export type KeyOf<
  Definition extends EntityDefinition,
  Keyspaces extends KeyspaceDefinitions,
> = Definition['keyspace'] extends infer Name extends keyof Keyspaces
  ? KeyInput<Keyspaces[Name]['keyType']>
  : ColumnOf<Definition, Definition['key']>;

/** What an id of an entity may be; `never` for an entity whose key alone names a row. */
export type IdOf<Definition extends EntityDefinition> = Definition extends {
  readonly id: infer Column extends string;
}
  ? ColumnOf<Definition, Column>
  : never;

/** Entities by name, each with the types of its rows, keys and ids. */
export type EntitiesOf<
  Definitions extends EntityDefinitions,
  Keyspaces extends KeyspaceDefinitions,
> = {
  readonly [Name in keyof Definitions]: Entity<
    RowOf<Definitions[Name]>,
    KeyOf<Definitions[Name], Keyspaces>,
    IdOf<Definitions[Name]>
  >;
};

type ValueOf<Definition> = Definition extends {
  readonly load: (...args: never[]) => infer Result;
}
  ? Exclude<Awaited<Result>, undefined>
  : unknown;

/** Cached queries by name, each with the type of what its loader gives. */
export type NamespacesOf<Definitions extends NamespaceDefinitions> = {
  readonly [Name in keyof Definitions]: CacheNamespace<ValueOf<Definitions[Name]>>;
};

type Targets<Definition extends EventDefinition> = Definition extends readonly string[]
  ? Definition[number]
  :
      | (Definition extends { readonly invalidates: readonly (infer Target)[] } ? Target : never)
      | (Definition extends { readonly warms: readonly (infer Target)[] } ? Target : never);

type Placeholders<Target> = Target extends `${string}{${infer Name}}${infer Rest}`
  ? Name | Placeholders<Rest>
  : never;

/** `user` of `{user.id}` holds more than can be told from a text. */
type FieldsOf<Names extends string> = {
  readonly [Name in Names as Name extends `${infer Root}.${string}`
    ? Root
    : Name]: Name extends `${string}.${string}` ? object : string | number | bigint;
};

/** What an event is emitted with. */
export type PayloadOf<Definition extends EventDefinition> = Definition extends {
  readonly payload: StandardSchemaV1<infer Input, infer _Output>;
}
  ? Input
  : FieldsOf<Placeholders<Targets<Definition>>>;
