// How fast a page hashes what it shares, against a bare loop of the same hash in a worker.
//
// The loop is the program's own: a worker of our own loads the program, which serves it as it serves the
// page, and is given bytes that are in memory already, 64 MiB at a time. So both run the same code over
// blocks of 16 KiB, and the page has to read the file, come and go with its worker, build the tree and
// show how far it is. The page's time is from the choice of the file to the link, the first use of its
// worker included; the loop is warm.
import assert from "node:assert/strict";

import { MIB } from "../lib/files.mjs";
import { ShoalPage } from "../lib/pages.mjs";
import { BIG, ROUNDS, inMib, median, note, withBrowser } from "./setting.mjs";

export async function compareHashing({ tracker, sources, table }) {
  const rates = { loop: [], page: [] };
  for (let round = 0; round < ROUNDS; round += 1) {
    await withBrowser(async (browser) => {
      const page = await ShoalPage.openIn(browser, tracker.http);
      // The loop before and after: what else the machine does changes meanwhile.
      const before = await loop(page);
      rates.page.push(BIG / await share(page, sources.get(BIG)));
      rates.loop.push((before + await loop(page)) / 2);
      page.unharmed();
    });
    note(`loop: ${inMib(rates.loop.at(-1))}/s, page: ${inMib(rates.page.at(-1))}/s`);
  }
  const [bare, page] = [median(rates.loop), median(rates.page)];
  table.atLeast(
    "hashing in the page, of the speed of a bare loop", page / bare, 0.6,
    `${inMib(page)}/s and ${inMib(bare)}/s, medians of ${ROUNDS}, ${inMib(BIG)}`,
  );
}

/** Seconds from the choice of the file to the link. */
async function share(page, path) {
  const timed = page.page.evaluate(() => new Promise((resolve) => {
    let begin;
    document.addEventListener("change", () => (begin = performance.now()), { capture: true, once: true });
    new MutationObserver(() => {
      if (document.querySelector("[data-state=seeding]")) resolve((performance.now() - begin) / 1000);
    }).observe(document.body, { subtree: true, childList: true, attributes: true });
  }));
  await page.share([path]);
  return timed;
}

/** Bytes a second that the bare loop hashes. */
async function loop(page) {
  const { rate, hash, expected } = await page.page.evaluate(async ([payload, block]) => {
    const program = JSON.stringify(new URL("wasm/shoal.js", location));
    const script = new Blob([`self.window = self; import(${program}).catch((error) => postMessage(String(error)))`], { type: "text/javascript" });
    const worker = new Worker(URL.createObjectURL(script), { type: "module" });
    const heard = () => new Promise((resolve) => {
      worker.addEventListener("message", ({ data }) => resolve(data), { once: true });
    });
    const word = await heard();
    if (word !== "started") throw new Error(word);
    const hash = async (id) => {
      const bytes = new Uint8Array(payload);
      const [answer, begin] = [heard(), performance.now()];
      worker.postMessage([JSON.stringify([id, "Hash"]), bytes], [bytes.buffer]);
      const hashes = (await answer)[1];
      return { hashes, seconds: (performance.now() - begin) / 1000 };
    };
    await hash(0);
    const times = 4;
    let seconds = 0;
    let hashes;
    for (let id = 1; id <= times; id += 1) {
      const hashed = await hash(id);
      seconds += hashed.seconds;
      hashes = hashed.hashes;
    }
    worker.terminate();
    const expected = await crypto.subtle.digest("SHA-256", new Uint8Array(block));
    return {
      rate: (times * payload) / seconds,
      hash: [...hashes.slice(-32)],
      expected: [...new Uint8Array(expected)],
    };
  }, [64 * MIB, 16 * 1024]);
  assert.deepEqual(hash, expected, "the loop hashes");
  return rate;
}
