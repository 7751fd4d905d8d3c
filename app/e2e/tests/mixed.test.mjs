// Browser pages and command-line peers in one swarm.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { join } from "node:path";

import { MIB, randomFile, scratch, sha256 } from "../lib/files.mjs";
import { ShoalPage, launchChromium } from "../lib/pages.mjs";
import { Shoal, startTracker } from "../lib/processes.mjs";

let browser;
before(async () => (browser = await launchChromium()));
after(() => browser.close());

test("a page downloads from the command line", async (t) => {
  const dir = await scratch(t);
  const tracker = await startTracker(t);
  const source = await randomFile(join(dir, "random.bin"), 32 * MIB);
  const { link } = await Shoal.seed(t, tracker, [source]).event("sharing");

  const page = await ShoalPage.open(t, browser, link);
  await page.confirm();
  await page.complete();
  assert.equal(await sha256(await page.save(join(dir, "saved"))), await sha256(source));
  page.unharmed();
});

test("the command line downloads from a page", async (t) => {
  const dir = await scratch(t);
  const tracker = await startTracker(t);
  const source = await randomFile(join(dir, "random.bin"), 32 * MIB);
  const page = await ShoalPage.open(t, browser, tracker.http);
  const link = await page.share([source]);

  const get = Shoal.get(t, link, join(dir, "out"));
  await get.event("complete", undefined, 120);
  assert.equal((await get.exited).code, 0);
  assert.equal(await sha256(join(dir, "out", "random.bin")), await sha256(source));
  page.unharmed();
});

test("two pages and a latecomer on the command line share a slow seeder's copy", async (t) => {
  const dir = await scratch(t);
  const tracker = await startTracker(t);
  const size = 24 * MIB;
  const source = await randomFile(join(dir, "random.bin"), size);
  const hash = await sha256(source);
  const seed = Shoal.seed(t, tracker, [source], ["--upload-limit", "2097152"]);
  const { link } = await seed.event("sharing");

  const pages = await Promise.all([1, 2].map(() => ShoalPage.open(t, browser, link)));
  await Promise.all(pages.map((page) => page.confirm()));
  // The latecomer joins once the swarm is under way.
  await seed.event("progress", (event) => event.uploaded_bytes > size / 4);
  const get = Shoal.get(t, link, join(dir, "out"));

  await Promise.all([get.exited, ...pages.map((page) => page.complete(180))]);
  assert.equal((await get.exited).code, 0, get.stderr);
  assert.equal(await sha256(join(dir, "out", "random.bin")), hash);
  for (const [number, page] of pages.entries()) {
    assert.equal(await sha256(await page.save(join(dir, `page-${number}`))), hash);
    page.unharmed();
  }
  const done = Date.now();
  const { uploaded_bytes: sent } = await seed.event("progress", (event) => event.uploaded_bytes >= size);
  const copies = seed.latest("progress").uploaded_bytes / size;
  t.diagnostic(`the seeder sent ${copies.toFixed(2)} copies for 3 leechers (${sent} bytes at ${done})`);
  assert.ok(copies < 2, `three leechers took ${copies.toFixed(2)} copies from the seeder: they hardly helped each other`);
});
