// A folder keeps its tree, byte for byte, on its way through a page.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { after, before, test } from "node:test";
import { join } from "node:path";

import { MIB, randomFile, scratch, tree } from "../lib/files.mjs";
import { ShoalPage, launchChromium } from "../lib/pages.mjs";
import { Shoal, startTracker } from "../lib/processes.mjs";

let browser;
before(async () => (browser = await launchChromium()));
after(() => browser.close());

test("a folder goes from the command line through a page into a ZIP", async (t) => {
  const dir = await scratch(t);
  const tracker = await startTracker(t);
  const root = join(dir, "holiday photos");
  for (const [path, size] of [
    ["readme.txt", 5], ["empty", 0], ["one block", 16384], ["a/b/c/deep.bin", 3 * MIB + 17],
    ["名前/файл.bin", 100_000], ["a/ünï.dat", 16385],
  ]) await randomFile(join(root, path), size);
  const { link } = await Shoal.seed(t, tracker, [root]).event("sharing");

  const page = await ShoalPage.open(t, browser, link);
  await page.confirm();
  await page.complete();
  const zip = await page.save(dir);
  const out = join(dir, "unpacked");
  await promisify(execFile)("python3", ["-m", "zipfile", "-e", zip, out]);
  assert.deepEqual(await tree(join(out, "holiday photos")), await tree(root));
  page.unharmed();
});

test("a folder shared by a page arrives on disk with its tree", async (t) => {
  const dir = await scratch(t);
  const tracker = await startTracker(t);
  const root = join(dir, "project");
  for (const [path, size] of [["top.bin", 70_000], ["src/one.rs", 1], ["src/deep/two.rs", 40_000]]) {
    await randomFile(join(root, path), size);
  }
  const page = await ShoalPage.open(t, browser, tracker.http);
  await page.id("folder-input").setInputFiles(root);
  await page.state(["seeding"]);
  const link = await page.id("share-link").inputValue();

  const get = Shoal.get(t, link, join(dir, "out"));
  assert.equal((await get.exited).code, 0, get.stderr);
  assert.deepEqual(await tree(join(dir, "out", "project")), await tree(root));
  page.unharmed();
});

test("a folder and a file dropped on a page arrive on disk with their tree", async (t) => {
  const dir = await scratch(t);
  const tracker = await startTracker(t);
  const given = join(dir, "given");
  for (const [path, size] of [["album/disc 1/song.bin", 70_000], ["album/cover.bin", 1], ["note.txt", 40_000]]) {
    await randomFile(join(given, path), size);
  }
  const page = await ShoalPage.open(t, browser, tracker.http);
  await page.drop([join(given, "album"), join(given, "note.txt")]);
  await page.state(["seeding"]);
  const link = await page.id("share-link").inputValue();

  const get = Shoal.get(t, link, join(dir, "out"));
  assert.equal((await get.exited).code, 0, get.stderr);
  const { path } = get.latest("complete");
  assert.deepEqual(await tree(path), await tree(given));
  page.unharmed();
});
