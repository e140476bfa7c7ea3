import { randomBytes } from 'node:crypto';
import { ShardlineError } from '@shardline/core';
import type { ContainerRuntimeClient } from 'testcontainers';
import { testkitErrors } from '../errors.js';
import { connectToEngine, engineAddress, imageFor, provideImage } from './container-engine.js';
import { CONTAINER_USER, containerScript } from './container-script.js';
import { type ContainerParts, ContainerServer } from './container-server.js';
import { releasePort } from './free-port.js';
import { acquireGuard } from './guard.js';
import type { Leftover } from './guard-protocol.js';
import type { Backend, Server, ServerSpec } from './server.js';

/** Label of every container of the kit, for whoever looks at `docker ps`. */
const LABEL = 'shardline.testkit';

/**
 * Servers in containers, through Testcontainers. The guard removes them when this process dies, so
 * Testcontainers' reaper is needed only with an engine that the guard cannot speak to.
 */
export const containerBackend: Backend = {
  name: 'containers',
  async start(spec: ServerSpec): Promise<Server> {
    const guard = acquireGuard();
    let leftover: Leftover | undefined;
    let server: ContainerServer | undefined;
    try {
      const client = await connectToEngine();
      expectLocal(client);
      const image = imageFor(spec.kind, spec.version);
      await provideImage(client, spec.kind, image);
      const name = `shardline-${randomBytes(4).toString('hex')}-${spec.name}`;
      const engine = engineAddress(client);
      leftover = engine === undefined ? undefined : { kind: 'container', id: name, engine };
      if (leftover !== undefined) await guard.keep(leftover);
      const create: ContainerParts['create'] = () =>
        createContainer(client, spec, image, name, engine === undefined);
      server = new ContainerServer({ guard, leftover, create }, spec);
      await server.start();
      return server;
    } catch (error) {
      if (server !== undefined) {
        await server.stop();
      } else {
        if (leftover !== undefined) await guard.forget(leftover);
        await releasePort(spec.port);
        await guard.release();
      }
      throw error;
    }
  },
};

async function createContainer(
  client: ContainerRuntimeClient,
  spec: ServerSpec,
  image: string,
  name: string,
  needsReaper: boolean,
): ReturnType<ContainerParts['create']> {
  const { GenericContainer, StartupCheckStrategy } = await import('testcontainers');
  /** Whether it serves is asked over the network, by the same look as natively. */
  class Started extends StartupCheckStrategy {
    override checkStartupState() {
      return Promise.resolve('SUCCESS' as const);
    }
  }
  const { entrypoint, command, environment } = containerScript(spec);
  const container = await new GenericContainer(image)
    .withName(name)
    .withLabels({ [LABEL]: spec.name })
    .withNetworkMode('host')
    .withUser(CONTAINER_USER)
    .withEntrypoint([...entrypoint])
    .withCommand([...command])
    .withEnvironment({ ...environment })
    .withAutoCleanup(needsReaper)
    .withWaitStrategy(new Started())
    .start();
  return client.container.getById(container.getId());
}

/** On another machine's engine, loopback is not ours. */
function expectLocal(client: ContainerRuntimeClient): void {
  const { host } = client.info.containerRuntime;
  if (host === 'localhost' || host === '127.0.0.1') return;
  throw new ShardlineError(
    testkitErrors.TESTKIT_ENGINE_MISSING,
    `The Docker engine is on ${host}, and servers that listen on loopback there cannot be reached from here.`,
  );
}
