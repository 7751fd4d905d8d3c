// The demo's headline: two leechers of a slow seeder hold different parts of the file, and finish
// from each other once the seeder has stopped.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { join } from "node:path";

import { MIB, randomFile, scratch, sha256 } from "../lib/files.mjs";
import { ShoalPage, launchChromium } from "../lib/pages.mjs";
import { startTracker } from "../lib/processes.mjs";

let browser;
before(async () => (browser = await launchChromium()));
after(() => browser.close());

test("two leechers finish from each other after the seeder has stopped", async (t) => {
  const dir = await scratch(t);
  const tracker = await startTracker(t);
  const source = await randomFile(join(dir, "headline.bin"), 8 * MIB);
  const seeder = await ShoalPage.open(t, browser, tracker.http);
  const link = await seeder.share([source]);
  await seeder.limitUpload("0");

  // The leechers do not pass anything on yet, so that each holds only what the seeder gave it; which
  // begins when that has been typed everywhere.
  const leechers = await Promise.all([1, 2].map(() => ShoalPage.open(t, browser, link)));
  await Promise.all(leechers.map(async (leecher) => {
    await leecher.confirm();
    await leecher.limitUpload("0");
  }));
  await seeder.limitUpload("512k");

  // The seeder sees two whole copies in the swarm: its own and the one that the two hold together.
  await seeder.page.waitForFunction(() => {
    const copies = document.querySelector("[data-figure=Copies] dd");
    return copies && Number(copies.textContent) >= 2;
  }, undefined, { timeout: 120_000 });
  await seeder.limitUpload("0");

  const held = await Promise.all(leechers.map((leecher) => leecher.pieces()));
  const { all } = held[0];
  const overlap = (held[0].have + held[1].have - all) / all;
  t.diagnostic(`pieces held: ${held[0].have} and ${held[1].have} of ${all}; overlap ${(overlap * 100).toFixed(1)} %`);
  for (const { have } of held) assert.ok(have > 0 && have < all, `${have} of ${all} is no part of a file`);
  assert.ok(overlap <= 0.05, `the halves overlap by ${(overlap * 100).toFixed(1)} %`);
  await seeder.page.context().close();

  await Promise.all(leechers.map((leecher) => leecher.limitUpload("none")));
  await Promise.all(leechers.map((leecher) => leecher.complete()));
  const hash = await sha256(source);
  for (const [number, leecher] of leechers.entries()) {
    assert.equal(await sha256(await leecher.save(join(dir, String(number)))), hash);
    leecher.unharmed();
  }
});
