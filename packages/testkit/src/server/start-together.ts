/**
 * Starts several things side by side. If one fails, those that did start are stopped, and the first
 * failure is told.
 */
export async function startTogether<T extends AsyncDisposable>(
  starts: readonly (() => Promise<T>)[],
): Promise<T[]> {
  const outcomes = await Promise.allSettled(starts.map((start) => start()));
  const started = outcomes.flatMap((outcome) =>
    outcome.status === 'fulfilled' ? [outcome.value] : [],
  );
  const failure = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failure === undefined) return started;
  await stopTogether(started);
  throw failure.reason;
}

/** Stops several things side by side; each is tried, and the first failure is told. */
export async function stopTogether(things: readonly AsyncDisposable[]): Promise<void> {
  const outcomes = await Promise.allSettled(things.map((thing) => thing[Symbol.asyncDispose]()));
  const failure = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failure !== undefined) throw failure.reason;
}
