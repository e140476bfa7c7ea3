import {
  type DynamicModule,
  type InjectionToken,
  Module,
  type ModuleMetadata,
  type OnApplicationShutdown,
  type OptionalFactoryDependency,
  type Provider,
} from '@nestjs/common';
import type { DataLayerConfig } from '../config.js';
import { createDataLayer } from '../create-data-layer.js';
import type { DataLayer } from '../data-layer.js';
import type { CloseOptions } from '../lifecycle/close-options.js';
import { entityToken, LAYER } from './inject.js';
import { ShardlineHealth } from './shardline-health.js';

// biome-ignore lint/suspicious/noExplicitAny: any configuration will do
type AnyConfig = DataLayerConfig<any, any, any, any>;
// biome-ignore lint/suspicious/noExplicitAny: any layer will do
type AnyLayer = DataLayer<any, any, any, any>;

/** What the module is told. */
export interface ShardlineModuleOptions {
  /** Opens a layer, which the module then closes with the application. Either this or `layer`. */
  readonly config?: AnyConfig;
  /** A layer that is there already, such as `createMemoryLayer(config)` in a test. */
  readonly layer?: AnyLayer;
  /** Whether all modules see it. @default true */
  readonly isGlobal?: boolean;
  /** How it is closed. `app.enableShutdownHooks()` lets Nest hear of signals. */
  readonly close?: CloseOptions;
}

/** What the module is told, where that has to be found out first. */
export interface ShardlineModuleAsyncOptions
  extends Pick<ShardlineModuleOptions, 'isGlobal' | 'close'> {
  readonly imports?: ModuleMetadata['imports'];
  readonly inject?: (InjectionToken | OptionalFactoryDependency)[];
  readonly useFactory: (
    // biome-ignore lint/suspicious/noExplicitAny: what is injected is the factory's business
    ...dependencies: any[]
  ) =>
    | Pick<ShardlineModuleOptions, 'config' | 'layer'>
    | Promise<Pick<ShardlineModuleOptions, 'config' | 'layer'>>;
  /** Names of the entities that `@InjectEntity` is used for. @default none */
  readonly entities?: readonly string[];
}

const SHUTDOWN = Symbol.for('shardline.nest.shutdown');

/** Closes the layer when the application has ended. */
class LayerShutdown implements OnApplicationShutdown {
  constructor(
    private readonly layer: AnyLayer,
    private readonly options: CloseOptions,
  ) {}

  async onApplicationShutdown(): Promise<void> {
    await this.layer.close(this.options);
  }
}

/**
 * The module: opens the layer at start, offers it (`@InjectLayer()`), its entities (`@InjectEntity('users')`) and
 * its health (`ShardlineHealth`), and closes it when the application ends.
 *
 * @example
 * ```ts
 * import { Module } from '@nestjs/common';
 * import { defineConfig } from 'shardline';
 * import { ShardlineModule } from 'shardline/nest';
 *
 * const config = defineConfig({
 *   name: 'shop',
 *   shards: { one: { primary: 'postgres://127.0.0.1:5432/shop' } },
 *   keyspaces: { customers: { keyType: 'bigint' } },
 *   entities: {
 *     customers: { table: 'customers', keyspace: 'customers', key: 'customer_id' },
 *   },
 * });
 *
 * class AppModule {}
 * Module({ imports: [ShardlineModule.forRoot({ config })] })(AppModule); // as @Module({ … })
 * ```
 */
// biome-ignore lint/complexity/noStaticOnlyClass: Nest knows modules by their class
export class ShardlineModule {
  static forRoot(options: ShardlineModuleOptions): DynamicModule {
    const { config, layer } = options;
    const entities = Object.keys(config?.entities ?? layer?.entities ?? {});
    return moduleOf({ useFactory: () => options, entities, ...commonOf(options) });
  }

  static forRootAsync(options: ShardlineModuleAsyncOptions): DynamicModule {
    return moduleOf(options);
  }
}
Module({})(ShardlineModule);

function commonOf({ isGlobal, close }: ShardlineModuleOptions) {
  return {
    ...(isGlobal === undefined ? {} : { isGlobal }),
    ...(close === undefined ? {} : { close }),
  };
}

function moduleOf(options: ShardlineModuleAsyncOptions): DynamicModule {
  const { imports = [], inject = [], useFactory, entities = [], isGlobal = true } = options;
  const layer: Provider = {
    provide: LAYER,
    inject,
    useFactory: async (...dependencies: unknown[]) => {
      const given = await useFactory(...dependencies);
      return given.layer ?? createDataLayer(given.config as AnyConfig);
    },
  };
  const shutdown: Provider = {
    provide: SHUTDOWN,
    inject: [LAYER],
    useFactory: (opened: AnyLayer) => new LayerShutdown(opened, options.close ?? {}),
  };
  const health: Provider = {
    provide: ShardlineHealth,
    inject: [LAYER],
    useFactory: (opened: AnyLayer) => new ShardlineHealth(opened),
  };
  const ofEntities = entities.map(
    (entity): Provider => ({
      provide: entityToken(entity),
      inject: [LAYER],
      useFactory: (opened: AnyLayer) => opened.entities[entity],
    }),
  );
  return {
    module: ShardlineModule,
    global: isGlobal,
    imports,
    providers: [layer, shutdown, health, ...ofEntities],
    exports: [LAYER, ShardlineHealth, ...entities.map(entityToken)],
  };
}
