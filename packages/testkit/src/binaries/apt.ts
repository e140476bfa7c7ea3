import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

/**
 * Debian's package tool, used as a reader only: it looks up and downloads, and neither changes the
 * system nor needs root. All that it writes goes into folders of ours.
 */

const run = promisify(execFile);

/** Fetching the lists of a whole release over a slow line. */
const FETCH_TIMEOUT_MS = 180_000;
const LOOK_UP_TIMEOUT_MS = 60_000;

/** What an apt of ours reads and where it writes. */
export interface AptFolders {
  /** For its caches and configuration. */
  readonly work: string;
  /** Lists of packages; the system's own if absent. */
  readonly lists?: string;
}

/** An apt command that failed, with apt's own complaints as its message. */
export class AptError extends Error {}

/** Whether this is a system with apt and dpkg. */
export async function isAptPresent(): Promise<boolean> {
  try {
    await run('apt-get', ['--version'], { timeout: LOOK_UP_TIMEOUT_MS });
    await run('dpkg-deb', ['--version'], { timeout: LOOK_UP_TIMEOUT_MS });
    return true;
  } catch {
    return false; // Another system, or one stripped of them: there are other ways then.
  }
}

/**
 * apt with private folders.
 *
 * The configuration is a file given with `-c`, since only that is read after the system's, and can
 * clear what the system's adds: hooks after an update, which delete the system's own archives on
 * Docker's images and which an ordinary user may not run; and indexes that describe desktop programs.
 */
export class Apt {
  readonly #configuration: string;

  private constructor(configuration: string) {
    this.#configuration = configuration;
  }

  static async open(folders: AptFolders): Promise<Apt> {
    const configuration = join(folders.work, 'apt.conf');
    await mkdir(join(folders.work, 'archives', 'partial'), { recursive: true });
    if (folders.lists !== undefined) {
      await mkdir(join(folders.lists, 'partial'), { recursive: true });
    }
    await writeFile(configuration, aptConfiguration(folders));
    return new Apt(configuration);
  }

  /** Fetches lists; gives what apt complained of, which need not matter for what is wanted. */
  async update(): Promise<string> {
    try {
      const { stdout, stderr } = await this.#apt('apt-get', ['update'], FETCH_TIMEOUT_MS);
      return complaints(`${stdout}\n${stderr}`);
    } catch (error) {
      return error instanceof AptError ? error.message : String(error);
    }
  }

  /** The packages that an installation would add to the system. */
  async missingPackages(wanted: readonly string[]): Promise<string[]> {
    const { stdout } = await this.#apt(
      'apt-get',
      ['install', '--simulate', '--no-install-recommends', '--no-remove', ...wanted],
      LOOK_UP_TIMEOUT_MS,
    );
    return packagesToInstall(stdout);
  }

  /** All packages that the wanted ones depend on, at any remove. */
  async dependencies(wanted: readonly string[]): Promise<string[]> {
    const leaveOut = ['recommends', 'suggests', 'conflicts', 'breaks', 'replaces', 'enhances'];
    const { stdout } = await this.#apt(
      'apt-cache',
      ['depends', '--recurse', ...leaveOut.map((kind) => `--no-${kind}`), ...wanted],
      LOOK_UP_TIMEOUT_MS,
    );
    return namesOfDependencies(stdout);
  }

  /** Downloads packages, their signatures checked by apt, into a folder. */
  async download(packages: readonly string[], folder: string): Promise<void> {
    await this.#apt('apt-get', ['download', ...packages], FETCH_TIMEOUT_MS, folder);
  }

  async #apt(program: string, args: readonly string[], timeoutMs: number, folder?: string) {
    try {
      return await run(program, ['-c', this.#configuration, ...args], {
        timeout: timeoutMs,
        maxBuffer: 64 * 1024 * 1024,
        env: { ...process.env, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' },
        ...(folder === undefined ? {} : { cwd: folder }),
      });
    } catch (error) {
      const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
      const said = complaints(`${stdout}\n${stderr}`);
      const command = `${program} ${args[0]}`;
      throw new AptError(said === '' ? `${command} failed` : `${command}: ${said}`, {
        cause: error,
      });
    }
  }
}

/** Packages of which the system has these installed. */
export async function installedPackages(): Promise<Set<string>> {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query's own placeholders
  const format = '${Package} ${db:Status-Status}\n';
  const { stdout } = await run('dpkg-query', ['--show', `--showformat=${format}`], {
    timeout: LOOK_UP_TIMEOUT_MS,
    maxBuffer: 64 * 1024 * 1024,
  });
  const lines = stdout.split('\n').map((line) => line.split(' '));
  return new Set(lines.filter(([, status]) => status === 'installed').map(([name = '']) => name));
}

/** Unpacks a package's files. */
export async function unpackPackage(file: string, folder: string): Promise<void> {
  await run('dpkg-deb', ['--extract', file, folder], { timeout: LOOK_UP_TIMEOUT_MS });
}

function aptConfiguration({ work, lists }: AptFolders): string {
  const desktopIndexes = ['DEP-11', 'DEP-11-icons', 'CNF', 'Contents-deb'].flatMap((name) =>
    [name, `${name}-small`, `${name}-large`, `${name}-hidpi`, `${name}-large-hidpi`].map(
      (index) => `#clear Acquire::IndexTargets::deb::${index};`,
    ),
  );
  return [
    '#clear APT::Update::Pre-Invoke;',
    '#clear APT::Update::Post-Invoke;',
    '#clear APT::Update::Post-Invoke-Success;',
    ...desktopIndexes,
    `Dir::Cache "${work}";`,
    `Dir::Cache::archives "${join(work, 'archives')}";`,
    'Dir::Cache::pkgcache "";',
    'Dir::Cache::srcpkgcache "";',
    ...(lists === undefined ? [] : [`Dir::State::lists "${lists}";`]),
    // The folders are ours alone, and the system's locks are not to be had by everyone.
    'Debug::NoLocking "1";',
    // As root apt would download as a user who cannot write into our folders.
    'APT::Sandbox::User "root";',
    'Acquire::Languages "none";',
    'Acquire::Retries "2";',
    'Acquire::http::Timeout "20";',
    'Acquire::https::Timeout "20";',
    '',
  ].join('\n');
}

/** Reads `Inst name [old] (new archive [architecture])`. */
export function packagesToInstall(simulation: string): string[] {
  return [...simulation.matchAll(/^Inst (\S+) /gm)].map(([, name = '']) => name);
}

/** Reads apt-cache's tree: real packages stand at the margin, virtual ones in angle brackets. */
export function namesOfDependencies(tree: string): string[] {
  return [...new Set(tree.split('\n').filter((line) => /^[a-z0-9]/.test(line)))];
}

/** apt's errors and warnings, on one line. */
export function complaints(output: string): string {
  const lines = output.split('\n').filter((line) => /^(E|W|Err):/.test(line));
  return [...new Set(lines.map((line) => line.trim()))].slice(0, 6).join(' ');
}
