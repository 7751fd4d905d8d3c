// What there is of an unfinished download can be saved: complete files whole, others with their gaps.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { join } from "node:path";
import { promisify } from "node:util";

import { MIB, randomFile, scratch, tree } from "../lib/files.mjs";
import { ShoalPage, launchChromium } from "../lib/pages.mjs";
import { Shoal, startTracker } from "../lib/processes.mjs";

let browser;
before(async () => (browser = await launchChromium()));
after(() => browser.close());

/** Opens a link and lets the page download this much of it, no more. */
async function downloadPart(t, paths, percent, store) {
  const tracker = await startTracker(t);
  const seed = Shoal.seed(t, tracker, paths, ["--upload-limit", "4M"]);
  const { link, piece_length: piece } = await seed.event("sharing");
  const url = new URL(link);
  if (store) url.searchParams.set("store", store);
  const page = await ShoalPage.open(t, browser, url.href);
  await page.confirm();
  await page.fetched(percent);
  await page.id("pause").click();
  await page.state(["paused"]);
  return { page, piece };
}

/** Compares piece by piece: each is right or all zeros. Returns how many are right. */
async function rightPieces(saved, source, piece) {
  const [there, wanted] = [await readFile(saved), await readFile(source)];
  assert.ok(there.length <= wanted.length);
  let right = 0;
  for (let at = 0; at < there.length; at += piece) {
    const part = there.subarray(at, at + piece);
    if (part.equals(wanted.subarray(at, at + part.length))) right += 1;
    else assert.ok(part.every((byte) => byte === 0), `piece at ${at} is neither right nor a gap`);
  }
  return right;
}

for (const store of [undefined, "memory"]) {
  test(`a part of one file is saved under a name that says so (store: ${store ?? "files"})`, async (t) => {
    const dir = await scratch(t);
    const source = await randomFile(join(dir, "film.mkv"), 12 * MIB);
    const { page, piece } = await downloadPart(t, [source], 40, store);
    const { have, all } = await page.pieces();
    assert.ok(have > 0 && have < all);
    const saved = await page.save(join(dir, "saved"), "save-part");
    assert.match(saved, /film \(incomplete\)\.mkv$/);
    const right = await rightPieces(saved, source, piece);
    assert.ok(have <= right && right < all, `${right} pieces of ${all}, ${have} before`);

    await page.id("resume").click();
    await page.complete();
    assert.deepEqual(await readFile(await page.save(join(dir, "whole"))), await readFile(source));
    page.unharmed();
  });
}

test("one copy is saved at a time", async (t) => {
  const dir = await scratch(t);
  // The page keeps the last 16 MiB that it wrote in its memory, and asks its worker only for what was before.
  const source = await randomFile(join(dir, "film.mkv"), 40 * MIB);
  const { page } = await downloadPart(t, [source], 60);
  // What the page asks of its worker waits, so that saving does.
  await page.page.evaluate(() => {
    const [post, held] = [Worker.prototype.postMessage, []];
    Worker.prototype.postMessage = function (...message) {
      held.push(() => post.apply(this, message));
    };
    globalThis.release = () => {
      Worker.prototype.postMessage = post;
      held.forEach((send) => send());
    };
  });
  let downloads = 0;
  page.page.on("download", () => (downloads += 1));
  await page.id("save-part").evaluate((button) => [button.click(), button.click()]);
  const button = (state, words) => page.page.locator(`[data-testid=save-part]:${state}`, { hasText: words }).waitFor();
  await button("disabled", "Saving…");
  assert.equal(downloads, 0, "saving waits for nothing that is held");
  const first = page.page.waitForEvent("download");
  await page.page.evaluate(() => globalThis.release());
  await Promise.all([first, button("enabled", "Save what I have")]);
  assert.deepEqual(await page.page.locator("[data-testid=torrent] [role=alert]").allInnerTexts(), []);

  await page.save(join(dir, "again"), "save-part");
  assert.equal(downloads, 2);
  page.unharmed();
});

test("of a folder the complete files are saved whole and the others marked", async (t) => {
  const dir = await scratch(t);
  const root = join(dir, "album");
  const sizes = { "cover.jpg": 20_000, "empty": 0, "one.flac": 3 * MIB, "two.flac": 8 * MIB, "notes/three.flac": 8 * MIB };
  for (const [path, size] of Object.entries(sizes)) await randomFile(join(root, path), size);
  const { page, piece } = await downloadPart(t, [root], 50);
  const zip = await page.save(dir, "save-part");
  assert.match(zip, /album \(incomplete\)\.zip$/);
  const out = join(dir, "unpacked");
  await promisify(execFile)("python3", ["-m", "zipfile", "-e", zip, out]);
  const [saved, whole] = [await tree(join(out, "album (incomplete)")), await tree(root)];
  const marked = Object.keys(saved).filter((path) => path.includes("(incomplete)"));
  assert.ok(marked.length > 0, "something is not complete");
  assert.ok("empty" in saved, "of what is empty nothing is missing");
  for (const [path, hash] of Object.entries(saved)) {
    const own = path.replace(" (incomplete)", "");
    if (path === own) {
      assert.equal(hash, whole[path], path);
      continue;
    }
    assert.ok(!(own in saved), `${own} is there once`);
    const right = await rightPieces(join(out, "album (incomplete)", path), join(root, own), piece);
    assert.ok(right > 0, `nothing of ${path} is there`);
    assert.notEqual(hash, whole[own], `${path} is complete`);
  }
  page.unharmed();
});
