// Files large enough that they do not fit anywhere by accident.
import assert from "node:assert/strict";
import { truncate, writeFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { join } from "node:path";

import { MIB, randomFile, scratch, sha256 } from "../lib/files.mjs";
import { ShoalPage, launchChromium } from "../lib/pages.mjs";
import { Shoal, startTracker } from "../lib/processes.mjs";

let browser;
before(async () => (browser = await launchChromium()));
after(() => browser.close());

/** Shares through the file input; returns when hashing shows its speed and how long it will take. */
async function beginToShare(page, path) {
  await page.id("file-input").setInputFiles([path]);
  const left = page.page.locator("[data-state=preparing] [data-figure=Left]");
  await left.waitFor().catch(async () => {
    throw new Error(`nothing is being hashed; the page shows:\n${await page.page.locator("body").innerText()}`);
  });
}

test("256 MiB that a page shares arrive on the command line", async (t) => {
  const dir = await scratch(t);
  const tracker = await startTracker(t);
  const source = await randomFile(join(dir, "big.bin"), 256 * MIB);
  const page = await ShoalPage.open(t, browser, tracker.http);
  await page.page.evaluate(() => {
    globalThis.longest = 0;
    const observer = new PerformanceObserver((tasks) => {
      for (const { duration } of tasks.getEntries()) globalThis.longest = Math.max(globalThis.longest, duration);
    });
    observer.observe({ type: "longtask" });
  });
  await beginToShare(page, source);
  assert.match(await page.page.locator("[data-state=preparing] [role=status]").innerText(), /Preparing the link… \d+%/);
  await page.state(["seeding"]);
  const longest = await page.page.evaluate(() => globalThis.longest);
  t.diagnostic(`the longest task of the page's thread while hashing took ${longest} ms`);
  assert.ok(longest < 500, `the page was held up for ${longest} ms`);

  const get = Shoal.get(t, await page.id("share-link").inputValue(), join(dir, "out"));
  await get.event("complete", undefined, 300);
  assert.equal(await sha256(join(dir, "out", "big.bin")), await sha256(source));
  page.unharmed();
});

test("hashing says how long it will take, and ends when it is cancelled", async (t) => {
  const dir = await scratch(t);
  const tracker = await startTracker(t);
  const path = join(dir, "huge.bin");
  await writeFile(path, "");
  // Takes no room on the disk, and longer than anybody waits here.
  await truncate(path, 64 * 1024 * MIB);
  const page = await ShoalPage.open(t, browser, tracker.http);
  await beginToShare(page, path);
  assert.equal(await page.id("remove").innerText(), "Cancel");
  await page.id("remove").click();
  await page.id("torrent").waitFor({ state: "detached" });

  const small = await randomFile(join(dir, "small.bin"), MIB);
  await page.share([small]);
  assert.equal(await page.id("torrent").count(), 1);
  page.unharmed();
});
