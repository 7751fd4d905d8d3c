// What big files cost a page in Chromium, beside the goals (`scripts/bench page`). Everything is compared
// with something else that runs on the same machine, in turns with it.
//
// SHOAL_BENCH_BIG says another size than 1G, SHOAL_BENCH_ROUNDS how many turns there are instead of 5.
import { join } from "node:path";

import { randomFile, scratch } from "../lib/files.mjs";
import { startTracker } from "../lib/processes.mjs";
import { compareHashing } from "./hashing.mjs";
import { compareMemory } from "./memory.mjs";
import { BIG, SMALL, within } from "./setting.mjs";
import { compareStores } from "./stores.mjs";
import { Table } from "./table.mjs";

const parts = { stores: compareStores, hashing: compareHashing, memory: compareMemory };

const wanted = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(parts);
for (const name of wanted) if (!(name in parts)) throw new Error(`no part ${name}, but ${Object.keys(parts)}`);

await within(async (scope) => {
  const dir = await scratch(scope);
  const sources = new Map();
  for (const size of [SMALL, BIG]) {
    sources.set(size, await randomFile(join(dir, `${size}.bin`), size));
  }
  const setting = { dir, tracker: await startTracker(scope), sources, table: new Table() };
  for (const name of wanted) {
    console.error(name);
    await parts[name](setting);
  }
  console.log(`${setting.table}`);
});
