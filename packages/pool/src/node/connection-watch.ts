import type { Connection } from './connection.js';

/** What the server must not say to a connection that asked nothing. */
const OUT_OF_TURN = ['readyForQuery', 'parseComplete', 'bindComplete', 'noData', 'closeComplete'];

/** What is told of a connection as long as it lives. */
export interface ConnectionListener {
  broke(error: Error): void;
  ended(): void;
  /** `in_hot_standby` was pushed by the server, or has been known from the beginning. */
  standbyPushed(inHotStandby: boolean): void;
}

/** Listens to a new connection: for its end, for its server's role, and for words out of turn. */
export function watchConnection(connection: Connection, listener: ConnectionListener): void {
  const { client } = connection;
  client.on('error', (error: Error) => listener.broke(error));
  client.on('end', () => listener.ended());
  const onOutOfTurn = () => {
    if (connection.state !== 'idle') return;
    listener.broke(new Error('The server spoke on an idle connection.'));
  };
  // Before the driver's own listeners: they call back, and then the connection may be idle already.
  for (const event of OUT_OF_TURN) client.connection?.prependListener(event, onOutOfTurn);
  if (connection.inHotStandby !== undefined) listener.standbyPushed(connection.inHotStandby);
  client.connection?.on(
    'parameterStatus',
    (message: { parameterName: string; parameterValue: string }) => {
      if (message.parameterName !== 'in_hot_standby') return;
      connection.inHotStandby = message.parameterValue === 'on';
      listener.standbyPushed(connection.inHotStandby);
    },
  );
}
