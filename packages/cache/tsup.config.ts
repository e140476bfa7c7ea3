import { defineConfig } from 'tsup';
import { library } from '../../tsup.base.js';

export default defineConfig(
  library({
    index: 'src/index.ts',
    http: 'src/http/index.ts',
    'tier-contract': 'src/tier-contract/index.ts',
  }),
);
