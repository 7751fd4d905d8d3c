// What a page takes of memory for a file whose size it must not show in, and whether that file arrives: a
// download from `shoal seed` that is then saved, and a share that `shoal get` fetches.
//
// Counted is the resident memory of the page's process at its peak: the engine, its worker, and what the
// browser does for both there.
import assert from "node:assert/strict";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";

import { MIB, sha256 } from "../lib/files.mjs";
import { ShoalPage } from "../lib/pages.mjs";
import { Shoal } from "../lib/processes.mjs";
import { BIG, SMALL, inMib, note, withBrowser } from "./setting.mjs";

/** The longest that one transfer may take. */
const PATIENCE = 1800;

export async function compareMemory({ dir, tracker, sources, table }) {
  for (const [name, transfer] of [["download", download], ["share", share]]) {
    const peaks = [];
    for (const size of [SMALL, BIG]) {
      const saved = join(dir, `saved-${name}`);
      const { peak, heaps, copy } = await transfer(tracker, sources.get(size), saved);
      assert.equal(await sha256(copy), await sha256(sources.get(size)), `${name}: the file is another`);
      await rm(saved, { recursive: true });
      note(`${name}: ${inMib(size)} have arrived, peak ${inMib(peak)}; heaps of page and worker ${heaps.map(inMib)}`);
      peaks.push(peak);
    }
    const [small, big] = peaks;
    table.atMost(
      `memory of a ${name} of ${inMib(BIG)}, above that of ${inMib(SMALL)}`, (big - small) / MIB, 100,
      `${inMib(big)} and ${inMib(small)} at the peak; arrived with the right SHA-256`,
    );
  }
}

/** Downloads and saves. */
function download(tracker, source, saved) {
  return withBrowser(async (browser, scope) => {
    const { link } = await Shoal.seed(scope, tracker, [source]).event("sharing");
    const page = await ShoalPage.openIn(browser, link);
    await page.confirm();
    await page.complete(PATIENCE);
    const copy = await page.save(saved);
    return { copy, ...await measure(browser, page) };
  });
}

/** Shares and waits until somebody has it. */
function share(tracker, source, saved) {
  return withBrowser(async (browser, scope) => {
    const page = await ShoalPage.openIn(browser, tracker.http);
    const get = Shoal.get(scope, await page.share([source]), saved);
    const { path } = await get.event("complete", undefined, PATIENCE);
    return { copy: path, ...await measure(browser, page) };
  });
}

/** What the page's process has taken at its peak, and what its engine and its worker have now. */
async function measure(browser, page) {
  page.unharmed();
  const devtools = await browser.context.browser().newBrowserCDPSession();
  const { processInfo } = await devtools.send("SystemInfo.getProcessInfo");
  // The smaller one is kept ready for the next page.
  const renderers = processInfo.filter(({ type }) => type === "renderer");
  const peaks = await Promise.all(renderers.map(({ id }) => peakOf(id)));
  const heaps = await Promise.all([page.page, ...page.page.workers()].map((where) => heap(where, page.page.url())));
  return { peak: Math.max(...peaks), heaps };
}

async function peakOf(pid) {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(status.match(/^VmHWM:\s+(\d+) kB$/m)[1]) * 1024;
}

/** Bytes of a program's own memory, which only grows. */
function heap(where, page) {
  return where.evaluate(async (program) => {
    const { default: loaded } = await import(program);
    return (await loaded()).memory.buffer.byteLength;
  }, new URL("wasm/shoal.js", page).href);
}
