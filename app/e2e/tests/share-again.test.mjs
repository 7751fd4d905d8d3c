// A page that shares is reloaded: it goes on from the original files, or says why not.
//
// Without a screen nobody can pick files or answer the browser's question. So pickers give handles of files
// that the browser keeps for the page, for which it never asks; and what is really dropped is asked about.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { test } from "node:test";
import { join } from "node:path";

import { MIB, randomFile, scratch, sha256, tree } from "../lib/files.mjs";
import { Profile, ShoalPage } from "../lib/pages.mjs";
import { Shoal, startTracker } from "../lib/processes.mjs";

/** A page of a browser with a profile. Its pickers pick the folder `given`, and the file `file.bin` in it. */
async function sharer(t) {
  const browser = await Profile.make(t);
  await browser.launch();
  const [dir, tracker] = [await scratch(t), await startTracker(t)];
  await browser.context.addInitScript(() => {
    const given = async () => (await navigator.storage.getDirectory()).getDirectoryHandle("given");
    globalThis.showDirectoryPicker = given;
    globalThis.showOpenFilePicker = async () => [await (await given()).getFileHandle("file.bin")];
  });
  const page = await ShoalPage.openIn(browser, tracker.http);
  // With `?save=download` nothing is picked.
  await page.page.goto(tracker.http);
  return { dir, tracker, page };
}

/** Writes a file of the folder that is picked, these bytes or so many random ones; returns its SHA-256. */
async function write(page, path, content) {
  const bytes = Buffer.isBuffer(content) ? content : randomBytes(content);
  await page.page.evaluate(async ([path, base64]) => {
    const root = await navigator.storage.getDirectory();
    let folder = await root.getDirectoryHandle("given", { create: true });
    const [name, ...folders] = path.split("/").reverse();
    for (const below of folders.reverse()) folder = await folder.getDirectoryHandle(below, { create: true });
    const stream = await (await folder.getFileHandle(name, { create: true })).createWritable();
    await stream.write(Uint8Array.from(atob(base64), (byte) => byte.charCodeAt(0)));
    await stream.close();
  }, [path, bytes.toString("base64")]);
  return createHash("sha256").update(bytes).digest("hex");
}

async function pick(page, input) {
  await page.page.locator(`label[for=choose-${input}]`).click();
  await page.state(["seeding"]);
  await page.remembered();
  return page.id("share-link").inputValue();
}

function status(page) {
  return page.page.locator("[data-testid=torrent] [role=status]").innerText();
}

test("what was picked is shared again after a reload, without a click", async (t) => {
  const { dir, page } = await sharer(t);
  const expected = {};
  for (const [path, size] of [["disc 1/song.bin", MIB], ["disc 1/extra/cover.bin", 1], ["empty", 0], ["note.txt", 40_000]]) {
    expected[path] = await write(page, path, size);
  }
  const link = await pick(page, "folder-input");
  await page.reload();
  await page.state(["seeding"]);
  assert.equal(await page.id("share-link").inputValue(), link);

  const get = Shoal.get(t, link, join(dir, "out"));
  assert.equal((await get.exited).code, 0, get.stderr);
  assert.deepEqual(await tree(join(dir, "out", "given")), expected);

  // Removed, it does not come back.
  await page.id("remove").click();
  await page.id("torrent").waitFor({ state: "detached" });
  await page.reload();
  assert.equal(await page.id("torrent").count(), 0);
  page.unharmed();
});

test("a file that has changed or is gone is not shared, and said so; one that was only touched is", async (t) => {
  const { page } = await sharer(t);
  const bytes = randomBytes(MIB);
  await write(page, "file.bin", bytes);
  await pick(page, "file-input");

  await page.page.evaluate(async () => {
    const handle = (await showOpenFilePicker())[0];
    const bytes = await (await handle.getFile()).arrayBuffer();
    const stream = await handle.createWritable();
    await stream.write(bytes);
    await stream.close();
  });
  await page.reload();
  await page.state(["seeding"]);

  await write(page, "file.bin", MIB);
  await page.reload();
  await page.state(["error"]);
  assert.match(await status(page), /not shared: file\.bin has changed/);

  await write(page, "file.bin", bytes);
  await page.id("resume").click();
  await page.state(["seeding"]);

  await write(page, "file.bin", 5);
  await page.reload();
  await page.state(["error"]);
  assert.match(await status(page), /file\.bin has changed/);

  await page.page.evaluate(async () => {
    const root = await navigator.storage.getDirectory();
    await (await root.getDirectoryHandle("given")).removeEntry("file.bin");
  });
  await page.reload();
  await page.state(["error"]);
  assert.match(await status(page), /file\.bin is not there any more/);
  page.unharmed();
});

test("a browser that wants to be asked is asked at a click", async (t) => {
  const { dir, page } = await sharer(t);
  const hash = await write(page, "file.bin", MIB);
  await page.page.addInitScript(() => {
    let state = "prompt";
    FileSystemHandle.prototype.queryPermission = async () => state;
    FileSystemHandle.prototype.requestPermission = async () => {
      if (!navigator.userActivation.isActive) throw new DOMException("no click", "SecurityError");
      globalThis.asked = true;
      return (state = globalThis.answer);
    };
  });
  const link = await pick(page, "file-input");
  await page.reload();
  await page.interrupted();
  assert.match(await status(page), /let this page read the files again/);

  await page.page.evaluate(() => (globalThis.answer = "denied"));
  await page.id("resume").click();
  await page.page.waitForFunction(() => globalThis.asked);
  await page.interrupted();
  await page.page.evaluate(() => (globalThis.answer = "granted"));
  await page.id("resume").click();
  await page.state(["seeding"]);
  const get = Shoal.get(t, link, join(dir, "out"));
  assert.equal((await get.exited).code, 0, get.stderr);
  assert.equal(await sha256(join(dir, "out", "file.bin")), hash);
  page.unharmed();
});

test("what was dropped is known after a reload, and what came without a handle is not", async (t) => {
  const { dir, page } = await sharer(t);
  const [dropped, chosen] = [join(dir, "dropped.bin"), join(dir, "chosen.bin")];
  await randomFile(dropped, MIB);
  await page.drop([dropped]);
  await page.state(["seeding"]);
  await page.remembered();
  await page.reload();
  await page.interrupted();
  // Chromium asks again about the disk's own files.
  assert.match(await status(page), /let this page read the files again/);
  assert.equal(await page.id("resume").innerText(), "Go on sharing");
  await page.id("remove").click();
  await page.id("torrent").waitFor({ state: "detached" });

  await randomFile(chosen, MIB);
  await page.share([chosen]);
  await page.remembered();
  await page.reload();
  await page.interrupted();
  assert.match(await status(page), /drop or choose it again/);
  assert.equal(await page.id("resume").count(), 0);
  await page.share([chosen]);
  page.unharmed();
});
