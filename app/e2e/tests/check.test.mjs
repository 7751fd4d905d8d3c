// What a page has stored is looked through at a click, and what is damaged is fetched again.
import assert from "node:assert/strict";
import { test } from "node:test";
import { join } from "node:path";

import { MIB, randomFile, scratch, sha256 } from "../lib/files.mjs";
import { Profile, ShoalPage } from "../lib/pages.mjs";
import { Shoal, startTracker } from "../lib/processes.mjs";

const BLOCK = 16 * 1024;

async function download(t, size, args = []) {
  const browser = await Profile.make(t);
  await browser.launch();
  const [dir, tracker] = [await scratch(t), await startTracker(t)];
  const source = await randomFile(join(dir, "random.bin"), size);
  const seed = Shoal.seed(t, tracker, [source], args);
  const { link } = await seed.event("sharing");
  const page = await ShoalPage.openIn(browser, link);
  await page.confirm();
  return { dir, source, seed, page };
}

/** Turns bytes of the only stored file around. */
function damage(page, places) {
  return page.page.evaluate(async (places) => {
    const root = await (await navigator.storage.getDirectory()).getDirectoryHandle("shoal");
    for await (const folder of root.values()) {
      const handle = await folder.getFileHandle("0");
      const file = await handle.getFile();
      const stream = await handle.createWritable({ keepExistingData: true });
      for (const position of places) {
        const [byte] = new Uint8Array(await file.slice(position, position + 1).arrayBuffer());
        await stream.write({ type: "write", position, data: new Uint8Array([byte ^ 0xff]) });
      }
      await stream.close();
    }
  }, places);
}

test("three damaged blocks of a complete download are all that is fetched again", async (t) => {
  const size = 16 * MIB;
  const { dir, source, seed, page } = await download(t, size);
  await page.complete();
  await seed.event("progress", (event) => event.uploaded_bytes >= size);
  const sent = seed.latest("progress").uploaded_bytes;

  await damage(page, [5, 5 * MIB + 7 * BLOCK, size - 1]);
  await page.id("check").click();
  await seed.event("progress", (event) => event.uploaded_bytes >= sent + 3 * BLOCK);
  await page.complete();
  assert.equal(await sha256(await page.save(join(dir, "saved"))), await sha256(source));

  await page.reload();
  await page.complete();
  await seed.stop("SIGINT");
  assert.equal(seed.latest("progress").uploaded_bytes, sent + 3 * BLOCK);
  page.unharmed();
});

test("an unfinished download is checked and goes on", async (t) => {
  // Looking through it takes longer than the page's figures stand still.
  const size = 64 * MIB;
  const { dir, source, seed, page } = await download(t, size, ["--upload-limit", "16M"]);
  await page.fetched(40);
  await page.id("pause").click();
  await page.state(["paused"]);
  const before = await page.pieces();
  const states = await page.watchStates();
  await page.id("check").click();
  await page.page.waitForFunction(() => globalThis.states.length >= 3);
  assert.deepEqual(await states(), ["paused", "checking", "paused"]);
  assert.ok((await page.pieces()).have >= before.have);
  await page.id("resume").click();
  await page.complete();
  assert.equal(await sha256(await page.save(join(dir, "saved"))), await sha256(source));
  const { uploaded_bytes: sent } = await seed.event("progress", (event) => event.uploaded_bytes >= size);
  assert.ok(sent < 1.2 * size, `${sent} bytes sent`);
  page.unharmed();
});
