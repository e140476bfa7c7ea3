import type { Command } from 'commander';
import { type Bind, examples } from '../bind.js';
import { renderTable } from '../output/table.js';

/** `shardline locate`. */
export function addLocate(program: Command, bind: Bind): void {
  program
    .command('locate')
    .argument('<key...>', 'keys of one keyspace')
    .description('The slot of a key and the shard that owns it, by the catalog alone.')
    .addHelpText('after', examples('locate 42', 'locate --keyspace users 42 43 44 --json'))
    .action(
      bind(async (session, keys: string[]) => {
        const keyspace = await session.keyspace();
        const topology = await session.topology();
        const map = topology.keyspace(keyspace);
        const located = keys.map((key) => {
          const slot = map.keyspace.slotOf(key);
          return { key, slot, shard: map.ownerOf(slot), epoch: map.slotEpoch(slot) };
        });
        return {
          kind: 'locate',
          data: { keyspace, epoch: topology.epoch, keys: located },
          text: (style) =>
            renderTable(
              [
                { title: 'Key' },
                { title: 'Slot', align: 'right' },
                { title: 'Shard' },
                { title: 'Since epoch', align: 'right' },
              ],
              located.map(({ key, slot, shard, epoch }) => [
                key,
                String(slot),
                shard,
                String(epoch),
              ]),
              style,
            ),
          next: [`shardline explain 'SELECT …' --key ${keys[0] as string}`],
        };
      }),
    );
}
