import { ShardlineError } from '@shardline/core';
import { binaryMissing, lookForBinaries } from '../binaries/find-binaries.js';
import { testkitErrors } from '../errors.js';
import { containerBackend } from './container-backend.js';
import { whyNoEngine } from './container-engine.js';
import { nativeBackend } from './native-backend.js';
import type { Backend, ServerKind } from './server.js';
import { messageOf } from './wait-until.js';

/** How servers are run. */
export type BackendName = Backend['name'];

/** What SHARDLINE_BACKEND asks for; undefined: whatever works here. */
export function configuredBackend(
  environment: Readonly<Record<string, string | undefined>> = process.env,
): BackendName | undefined {
  const value = environment['SHARDLINE_BACKEND'];
  if (value === undefined || value === '') return undefined;
  if (value === 'native' || value === 'containers') return value;
  throw new ShardlineError(
    testkitErrors.TESTKIT_BACKEND_UNKNOWN,
    `SHARDLINE_BACKEND is '${value}', which is no backend.`,
    { details: { value } },
  );
}

/**
 * The backend for a kind of server: the one that SHARDLINE_BACKEND names; else local processes where
 * their programs can be had; else a Docker engine.
 *
 * @throws ShardlineError `TESTKIT_BACKEND_UNKNOWN`, `TESTKIT_ENGINE_MISSING`, or
 * `TESTKIT_BINARY_MISSING` or `TESTKIT_UNPACK_FAILED`, which say what to install.
 */
export async function chooseBackend(
  kind: ServerKind,
  options: { readonly version?: number } = {},
): Promise<Backend> {
  const configured = configuredBackend();
  if (configured === 'native') return nativeBackend;
  if (configured === 'containers') {
    const cause = await whyNoEngine();
    if (cause === undefined) return containerBackend;
    throw new ShardlineError(
      testkitErrors.TESTKIT_ENGINE_MISSING,
      `SHARDLINE_BACKEND asks for containers, but no Docker engine answers: ${messageOf(cause)}.`,
      { cause },
    );
  }
  let reason: unknown = binaryMissing(kind, options.version);
  try {
    if ((await lookForBinaries(kind, options)) !== undefined) return nativeBackend;
  } catch (error) {
    reason = error; // A package archive out of reach does not matter where there is an engine.
  }
  if ((await whyNoEngine()) === undefined) return containerBackend;
  throw reason;
}
