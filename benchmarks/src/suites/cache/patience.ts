/**
 * Deadline of one operation. By default Redis has 250 ms, beyond which a reader goes on without it and loads by
 * himself; a machine that many share must not be taken for a Redis that is down.
 */
export const PATIENT = '10s';
