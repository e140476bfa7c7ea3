import 'reflect-metadata';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Injectable, Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import fastify from 'fastify';
import { Hono } from 'hono';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { defineConfig } from '../config.js';
import type { DataLayer } from '../data-layer.js';
import type { Entity } from '../entity/entity.js';
import { expressLayer } from '../express/index.js';
import { fastifyLayer } from '../fastify/index.js';
import { honoLayer } from '../hono/index.js';
import { InjectEntity, InjectLayer, ShardlineHealth, ShardlineModule } from '../nest/index.js';
import { createMemoryLayer } from '../testing/index.js';

const config = defineConfig({
  name: 'shop',
  shards: { one: { primary: 'postgres://127.0.0.1/shop' } },
  keyspaces: { customers: { keyType: 'bigint' } },
  entities: { customers: { table: 'customers', keyspace: 'customers', key: 'customer_id' } },
});

let layer: ReturnType<typeof open>;
const open = () => createMemoryLayer(config);

beforeEach(async () => {
  layer = open();
  await layer.entities.customers.insert({ customer_id: 1n, name: 'Ada' });
});
afterEach(() => layer.close());

const nameOf = async () => String((await layer.entities.customers.get(1n))?.['name']);

describe('Hono', () => {
  test('has the layer, carries the session in a cookie and answers the probes', async () => {
    const app = new Hono<{ Variables: { layer: typeof layer } }>();
    app.use(honoLayer({ layer }));
    app.get('/name', async (context) => {
      const row = await context.get('layer').entities.customers.get(1n);
      return context.text(String(row?.['name']));
    });
    const response = await app.request('/name');
    expect(await response.text()).toBe('Ada');
    expect(response.headers.get('set-cookie')).toMatch(/^shardline-session=memory; .*HttpOnly/);
    expect((await app.request('/healthz')).status).toBe(200);
    expect((await app.request('/readyz')).status).toBe(200);
    await layer.close();
    const unready = await app.request('/readyz');
    expect(unready.status).toBe(503);
    expect(await unready.json()).toMatchObject({ ready: false, reasons: [expect.any(String)] });
  });

  test('carries the session in a header, and has probes elsewhere or none, as it is told', async () => {
    const app = new Hono();
    const probes = { liveness: '/live', readiness: '/ready' };
    app.use(honoLayer({ layer, session: { via: 'header', name: 'x-session' }, probes }));
    app.get('/name', async (context) => context.text(await nameOf()));
    expect((await app.request('/name')).headers.get('x-session')).toBe('memory');
    expect((await app.request('/live')).status).toBe(200);
    expect((await app.request('/healthz')).status).toBe(404);
    expect(() => honoLayer({ layer, session: { via: 'post' as never } })).toThrow('CONFIG_INVALID');
  });
});

test('Express and its like carry the session and answer the probes', async () => {
  const middleware = expressLayer({ layer });
  const server = createServer((request, response) =>
    middleware(request, response, async () => response.end(await nameOf())),
  );
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  try {
    const response = await fetch(`${url}/name`);
    expect(await response.text()).toBe('Ada');
    expect(response.headers.get('set-cookie')).toContain('shardline-session=memory');
    expect((await fetch(`${url}/readyz?full`)).status).toBe(200);
  } finally {
    server.close();
    server.closeAllConnections();
  }
});

test('Fastify has the layer and the probes, carries the session and closes the layer', async () => {
  const app = fastify();
  await app.register(fastifyLayer, { layer: layer as unknown as DataLayer });
  app.get('/name', async () => nameOf());
  const response = await app.inject('/name');
  expect(response.body).toBe('Ada');
  expect(response.headers['set-cookie']).toContain('shardline-session=memory');
  expect((app as unknown as { layer: unknown }).layer).toBe(layer);
  expect((await app.inject('/readyz')).statusCode).toBe(200);
  await app.close();
  expect(layer.health().live).toBe(false);
});

describe('Nest', () => {
  class Names {
    constructor(
      readonly layer: DataLayer,
      readonly customers: Entity,
    ) {}
  }
  // As the decorators in front of the class and its parameters would do.
  Injectable()(Names);
  InjectLayer()(Names, undefined, 0);
  InjectEntity('customers')(Names, undefined, 1);

  const shapes = {
    forRoot: () => ShardlineModule.forRoot({ layer }),
    forRootAsync: () => {
      class Settings {}
      Module({
        providers: [{ provide: 'LAYER_TO_USE', useFactory: () => layer }],
        exports: ['LAYER_TO_USE'],
      })(Settings);
      return ShardlineModule.forRootAsync({
        imports: [Settings],
        inject: ['LAYER_TO_USE'],
        useFactory: async (given: typeof layer) => ({ layer: given }),
        entities: ['customers'],
      });
    },
  };

  test.each(['forRoot', 'forRootAsync'] as const)(
    'injects layer, entities and health by %s, and closes the layer at the end',
    async (shape) => {
      const module = await Test.createTestingModule({
        imports: [shapes[shape]()],
        providers: [Names],
      }).compile();
      const app = await module.init();
      const names = app.get(Names);
      expect(names.layer).toBe(layer);
      expect((await names.customers.get(1n, undefined as never))?.['name']).toBe('Ada');
      expect(app.get(ShardlineHealth).isHealthy()).toMatchObject({ shardline: { status: 'up' } });
      await app.close();
      expect(layer.health().live).toBe(false);
      expect(new ShardlineHealth(layer).isHealthy('db')).toMatchObject({ db: { status: 'down' } });
    },
  );
});
