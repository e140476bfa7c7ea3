import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ShardlineError } from '@shardline/core';
import { testkitErrors } from '../errors.js';

const run = promisify(execFile);

/** A certificate for 127.0.0.1 that is its own authority, and its key, as PEM. */
export interface Certificate {
  readonly certificate: string;
  readonly key: string;
}

/**
 * Makes a certificate for the loopback. Node can use certificates but not make them; openssl can.
 *
 * @throws ShardlineError `TESTKIT_BINARY_MISSING` where there is no openssl.
 */
export async function makeCertificate(): Promise<Certificate> {
  const folder = await mkdtemp(join(tmpdir(), 'shardline-certificate-'));
  const files = { key: join(folder, 'key.pem'), certificate: join(folder, 'certificate.pem') };
  try {
    await run('openssl', [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
      ...['-keyout', files.key, '-out', files.certificate, '-days', '2'],
      ...['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost'],
    ]);
    return {
      certificate: await readFile(files.certificate, 'utf8'),
      key: await readFile(files.key, 'utf8'),
    };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw new ShardlineError(
      testkitErrors.TESTKIT_BINARY_MISSING,
      'A Redis with TLS needs a certificate, and there is no openssl to make it.',
      { cause: error, remedy: 'Install it (apt-get install openssl), or do without TLS.' },
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
