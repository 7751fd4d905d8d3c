// Swarms of pages alone: nobody is asked for much more than a copy, and no number of pages is too many.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { join } from "node:path";

import { MIB, randomFile, scratch, sha256 } from "../lib/files.mjs";
import { ShoalPage, launchChromium } from "../lib/pages.mjs";
import { startTracker } from "../lib/processes.mjs";

let browser;
before(async () => (browser = await launchChromium()));
after(() => browser.close());

/** Shares a file of `size` bytes from one page and downloads it in `count` others, all at once. */
async function swarm(t, count, size) {
  const dir = await scratch(t);
  const tracker = await startTracker(t);
  const source = await randomFile(join(dir, "swarm.bin"), size);
  const seeder = await ShoalPage.open(t, browser, tracker.http);
  const link = await seeder.share([source]);
  const leechers = await Promise.all(Array.from({ length: count }, () => ShoalPage.open(t, browser, link)));
  const firstCopy = seeder.sentForFirstCopy();
  await Promise.all(leechers.map((leecher) => leecher.confirm()));
  await Promise.all(leechers.map((leecher) => leecher.complete(300)));
  const first = (await firstCopy) / size;
  const copies = (await seeder.sentBytes()) / size;
  const hash = await sha256(source);
  for (const [number, leecher] of leechers.entries()) {
    assert.equal(await sha256(await leecher.save(join(dir, String(number)))), hash);
    leecher.unharmed();
  }
  seeder.unharmed();
  t.diagnostic(
    `the seeder sent ${first.toFixed(3)} copies until ${count} leechers had all of one, ${copies.toFixed(3)} in all`,
  );
  return { first, copies };
}

// Leechers spare the seeder once a copy is out. On two processors with much else to do it sent 1.00 to 1.12
// copies in all, where it sent 1.09 to 1.28 before that; with nothing else to do, 1.001 each time. The goal is 1.10;
// the guard leaves room for load.
test("four pages take little more than one copy from the page that shares", async (t) => {
  const { first, copies } = await swarm(t, 4, 32 * MIB);
  assert.ok(first < 1.1, `the seeder sent ${first} copies until all of one was out`);
  assert.ok(copies < 1.2, `the seeder sent ${copies} copies`);
});

for (const pages of [3, 5, 9]) {
  test(`${pages} pages at once finish`, async (t) => {
    await swarm(t, pages - 1, 8 * MIB);
  });
}
