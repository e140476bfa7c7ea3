import type { Hardware, Load } from './load.js';
import type { Measured } from './measured.js';

/** Everything that an estimate rests on, one sentence each: what was measured, and what was only assumed. */
export function assumptionsOf(load: Load, measured: Measured, hardware: Hardware): string[] {
  const percent = (share: number) => `${Math.round(100 * share)} %`;
  return [
    'An extrapolation: costs measured on one machine are added up; queues, networks and hot keys are not in it.',
    `Each user makes ${load.requestsPerUserPerDay} requests a day; the busiest minute has ${load.peakFactor} times the average.`,
    `${percent(load.readShare)} of the requests only read; each looks up ${load.lookupsPerRequest} entities, a writing one makes ${load.statementsPerWrite} statements.`,
    `The service's own code takes ${load.ownCpuMicroseconds} us of CPU per request.`,
    `${bytes(load.bytesPerUser)} per user in the database, ${bytes(load.cachedBytesPerUser)} worth caching; growth ${percent(load.growthPerYear)} a year, for ${load.years} years.`,
    `Nothing is more than ${percent(hardware.utilisation)} busy at the peak; one process may fail.`,
    `A database server has ${hardware.databaseCores} cores and ${bytes(hardware.databaseBytes)}, takes ${hardware.writesPerSecondAndCore} writing statements per second and core, and has ${hardware.replicasPerShard} replicas, which take the reads.`,
    `A Redis node has ${bytes(hardware.redisBytes)} and takes ${hardware.redisMicrosecondsPerRead} us per key read, and has a replica; a Memcached node has ${bytes(hardware.memcachedBytes)}.`,
    ...Object.entries(measured).map(
      ([name, { value, source }]) => `${words(name)}: ${Number(value.toPrecision(3))} (${source}).`,
    ),
  ];
}

function words(name: string): string {
  const text = name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** `500 GB` */
export function bytes(count: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let value = count;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${Number(value.toPrecision(3))} ${units[unit]}`;
}
