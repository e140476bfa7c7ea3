import { defineErrors } from '@shardline/core';

/** The errors of the testkit. */
export const testkitErrors = defineErrors({
  TESTKIT_BACKEND_UNKNOWN: {
    retryable: false,
    meaning: 'SHARDLINE_BACKEND names a backend that does not exist.',
    remedy: "Set SHARDLINE_BACKEND to 'native' or 'containers', or leave it unset.",
  },
  TESTKIT_BINARY_MISSING: {
    retryable: false,
    meaning: 'A server program is neither installed nor to be had in another way.',
    remedy: 'Install it, or start a Docker engine.',
  },
  TESTKIT_ENGINE_MISSING: {
    retryable: false,
    meaning: 'Containers were asked for, but no Docker engine answers.',
    remedy: 'Start a Docker engine that this user may speak to, or set SHARDLINE_BACKEND=native.',
  },
  TESTKIT_IMAGE_MISSING: {
    retryable: false,
    meaning: 'A container image is not on this machine and could not be pulled.',
    remedy: 'Pull or build the image, or name another one in the environment variable given above.',
  },
  TESTKIT_PORT_IN_USE: {
    retryable: true,
    meaning: 'The port that a server was to listen on is taken by another program.',
    remedy: 'Choose another port, or none: the testkit then looks for a free one.',
  },
  TESTKIT_NOT_READY: {
    retryable: false,
    meaning: 'A server ended, or did not serve in time, after it was started.',
    remedy: 'Its log above says why; nothing of it is left.',
  },
  TESTKIT_NO_DISK: {
    retryable: false,
    meaning: 'A disk has no room left for a server or its programs.',
    remedy: 'Free some space, or set TMPDIR to a folder on a disk with more.',
  },
  TESTKIT_SERVER_STATE: {
    retryable: false,
    meaning: 'A server was asked for something that its state does not allow.',
    remedy: 'Look at its `state` first; restart() brings back a server that is down.',
  },
  TESTKIT_WAIT_EXPIRED: {
    retryable: true,
    meaning: 'Something that a test waited for did not come about in time.',
    remedy: 'Look at the last observation above; allow more time only if that is meant to be slow.',
  },
  TESTKIT_GUARD_LOST: {
    retryable: false,
    meaning: 'The process that watches over the servers ended before they did.',
    remedy: 'Start the servers anew; those that it watched over were ended.',
  },
  TESTKIT_UNPACK_FAILED: {
    retryable: true,
    meaning: 'Server programs could not be downloaded or unpacked into the cache folder.',
    remedy: 'Look at the cause; install the programs by hand if this machine has no way out.',
  },
});
