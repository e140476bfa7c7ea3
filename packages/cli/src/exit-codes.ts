/** How the command ends. Scripts rely on these; they change only with a major version. */
export const EXIT = {
  /** Done, and nothing asks for action. */
  ok: 0,
  /** Something failed, or the command was used wrongly; the error says what to do. */
  fault: 1,
  /** The command did its work and its answer asks for action: changes to apply, blockers, differences, a wait that ended. */
  attention: 2,
  /** Ended by Ctrl-C or SIGTERM. What was begun can be resumed. */
  interrupted: 130,
} as const;

/** One of the ways in which the command ends. */
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];
