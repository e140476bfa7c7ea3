/** A connection that comes after its deadline still has to go back. */
export function releaseLate(
  connecting: Promise<{ release(destroy?: boolean | Error): void }>,
): void {
  connecting.then(
    (client) => client.release(true),
    () => {
      // It never came.
    },
  );
}
