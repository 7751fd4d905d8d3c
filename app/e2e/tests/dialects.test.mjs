// Members of a swarm that speak different dialects with the tracker.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { join } from "node:path";

import { MIB, randomFile, scratch, sha256 } from "../lib/files.mjs";
import { ShoalPage, launchChromium } from "../lib/pages.mjs";
import { Shoal, startTracker } from "../lib/processes.mjs";
import { startBittorrentTracker, startTextOnly } from "../lib/trackers.mjs";

let browser;
before(async () => (browser = await launchChromium()));
after(() => browser.close());

/** A magnet that names one tracker only. */
function at(magnet, tracker) {
  const [head] = magnet.split("&tr=");
  return `${head}&tr=${encodeURIComponent(tracker.announce)}`;
}

/** The same as a link to a page. */
const linkAt = (page, magnet, tracker) => `${page.http}/#${at(magnet, tracker).replace("magnet:?", "")}`;

test("a page, the command line and those who speak WebTorrent's dialect are one swarm", async (t) => {
  const dir = await scratch(t);
  const tracker = await startTracker(t);
  const textOnly = await startTextOnly(t, tracker);
  const source = await randomFile(join(dir, "random.bin"), 4 * MIB);
  const hash = await sha256(source);

  // Each takes everything from the one before it, which then leaves.
  const seed = Shoal.seed(t, textOnly, [source]);
  const { magnet } = await seed.event("sharing");
  const page = await ShoalPage.open(t, browser, linkAt(tracker, magnet, tracker));
  await page.confirm();
  await page.complete();
  assert.equal((await seed.stop()).code, 0);

  const texts = Shoal.get(t, at(magnet, textOnly), join(dir, "texts"), ["--seed"]);
  await texts.event("complete");
  await page.page.close();

  const get = Shoal.get(t, at(magnet, tracker), join(dir, "out"));
  assert.equal((await get.exited).code, 0, get.stderr);
  for (const out of ["texts", "out"]) {
    assert.equal(await sha256(join(dir, out, "random.bin")), hash);
  }
  assert.ok(textOnly.texts.up > 0 && textOnly.texts.down > 0, "nobody came by the way for texts");
  page.unharmed();
});

test("a share is announced to WebTorrent's own tracker where a link names one", async (t) => {
  const dir = await scratch(t);
  const tracker = await startTracker(t);
  const webtorrent = await startBittorrentTracker(t);
  const source = await randomFile(join(dir, "random.bin"), 4 * MIB);
  const hash = await sha256(source);
  const seed = Shoal.seed(t, webtorrent, [source]);
  const { magnet } = await seed.event("sharing");
  await seed.event("tracker", (event) => event.state === "working");

  const get = Shoal.get(t, at(magnet, webtorrent), join(dir, "out"));
  const page = await ShoalPage.open(t, browser, linkAt(tracker, magnet, webtorrent));
  await page.confirm();
  await page.complete();
  assert.equal((await get.exited).code, 0, get.stderr);
  assert.equal(await sha256(join(dir, "out", "random.bin")), hash);
  assert.equal(await sha256(await page.save(join(dir, "saved"))), hash);
  page.unharmed();
});
