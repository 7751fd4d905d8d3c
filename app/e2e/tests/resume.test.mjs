// Pages that are reloaded, closed or killed while they download: what was stored is not fetched again.
import assert from "node:assert/strict";
import { test } from "node:test";
import { join } from "node:path";

import { MIB, randomFile, scratch, sha256 } from "../lib/files.mjs";
import { Profile, ShoalPage } from "../lib/pages.mjs";
import { Shoal, startTracker } from "../lib/processes.mjs";

/** A seeder on the command line, and a browser with a profile of its own. */
async function swarm(t, size, args) {
  const browser = await Profile.make(t);
  await browser.launch();
  const dir = await scratch(t);
  const tracker = await startTracker(t);
  const source = await randomFile(join(dir, "random.bin"), size);
  const seed = Shoal.seed(t, tracker, [source], args);
  const { link, piece_length: pieceLength } = await seed.event("sharing");
  return { dir, tracker, source, seed, link, pieceLength, browser };
}

test("a page that is reloaded twenty times in a transfer fetches next to nothing again", async (t) => {
  const size = 32 * MIB;
  const { dir, source, seed, link, pieceLength, browser } = await swarm(t, size, ["--upload-limit", "6M"]);
  const page = await ShoalPage.openIn(browser, link);
  await page.confirm();
  const reloads = 20;
  // After the last there is enough left for half a second: a reload takes a while to begin.
  const moments = Array.from({ length: reloads }, (_, reload) => (90 * (reload + Math.random())) / reloads);
  t.diagnostic(`reloaded at ${moments.map((moment) => moment.toFixed(1)).join(", ")} %`);
  for (const moment of moments) {
    await page.fetched(moment);
    await page.reload();
    await page.interrupted();
    await page.id("resume").click();
  }
  await page.complete();
  assert.equal(await sha256(await page.save(join(dir, "saved"))), await sha256(source));
  const sent = (await seed.event("progress", (event) => event.uploaded_bytes >= size)).uploaded_bytes;
  const again = (sent - size) / reloads;
  t.diagnostic(`${(again / 1024).toFixed(0)} KiB sent again for each reload; a piece has ${pieceLength / 1024}`);
  // What was under way, and blocks of pieces that were not yet whole and flushed.
  assert.ok(again < 1.5 * MIB, `${again} bytes were sent again for each reload`);
  page.unharmed();
});

test("a killed browser finds its download again, without the link", async (t) => {
  const size = 32 * MIB;
  const { dir, tracker, source, seed, link, browser } = await swarm(t, size, ["--upload-limit", "6M"]);
  let page = await ShoalPage.openIn(browser, link);
  await page.confirm();
  await page.fetched(60);
  await browser.kill();

  await browser.launch();
  page = await ShoalPage.openIn(browser, tracker.http);
  const words = await page.interrupted();
  const percent = Number(words.match(/Interrupted at (\d+)%/)[1]);
  assert.ok(percent >= 40, words);
  await page.id("resume").click();
  await page.complete();
  assert.equal(await sha256(await page.save(join(dir, "saved"))), await sha256(source));
  const sent = (await seed.event("progress", (event) => event.uploaded_bytes >= size)).uploaded_bytes;
  t.diagnostic(`interrupted at ${percent} %, ${((sent - size) / MIB).toFixed(1)} MiB sent again`);
  assert.ok(sent < 1.3 * size, `${sent} bytes sent`);
  page.unharmed();
});

test("what is complete is passed on again after a reload, and removing deletes it", async (t) => {
  const size = 8 * MIB;
  const { dir, source, seed, link, browser } = await swarm(t, size, []);
  const page = await ShoalPage.openIn(browser, link);
  await page.confirm();
  await page.complete();
  await seed.stop();
  await page.reload();
  await page.complete();

  const get = Shoal.get(t, link, join(dir, "out"));
  await get.event("complete");
  assert.equal(await sha256(join(dir, "out", "random.bin")), await sha256(source));
  assert.ok((await page.stored()) >= size);
  await page.id("remove").click();
  await page.id("remove-confirm").click();
  await page.id("torrent").waitFor({ state: "detached" });
  await page.forgotten();
  // Nor does it come back.
  await page.page.goto("about:blank");
  await page.goto(new URL("/", link).href);
  assert.equal(await page.id("torrent").count(), 0);
  page.unharmed();
});

test("two tabs of one browser download the same without harming each other", async (t) => {
  const { dir, source, link, browser } = await swarm(t, 16 * MIB, []);
  const pages = [await ShoalPage.openIn(browser, link), await ShoalPage.openIn(browser, link)];
  await Promise.all(pages.map((page) => page.confirm()));
  const hash = await sha256(source);
  for (const [number, page] of pages.entries()) {
    await page.complete();
    assert.equal(await sha256(await page.save(join(dir, `saved-${number}`))), hash);
    page.unharmed();
  }
});

test("a full quota stops a download in words, and it goes on when there is room", async (t) => {
  const size = 32 * MIB;
  const { dir, source, link, browser } = await swarm(t, size, ["--upload-limit", "6M"]);
  const page = await ShoalPage.openIn(browser, link);

  await page.limitStorage(size / 2);
  await page.confirm();
  await page.state(["error"]);
  const says = (words) => page.page.locator("article", { hasText: words }).waitFor();
  await says(/not enough space/i);

  await page.limitStorage(size * 4);
  await page.id("resume").click();
  await page.fetched(25);
  await page.limitStorage(size / 2);
  await page.state(["error"]);
  // How much is free is asked for once something could not be written.
  await says(/Not enough space: needs .* free/);
  await page.limitStorage(size * 4);
  await page.complete();
  assert.equal(await sha256(await page.save(join(dir, "saved"))), await sha256(source));
  page.unharmed();
});
