// A download into the browser's files (OPFS) against the same download into the page's memory.
import assert from "node:assert/strict";
import { join } from "node:path";

import { MIB, randomFile } from "../lib/files.mjs";
import { ShoalPage } from "../lib/pages.mjs";
import { Shoal } from "../lib/processes.mjs";
import { ROUNDS, inMib, median, note, within, withBrowser } from "./setting.mjs";

/** Memory takes 512 MiB, so this is not as big as other things here. */
const SIZE = 256 * MIB;

export async function compareStores({ dir, tracker, table }) {
  const rates = { files: [], memory: [] };
  const source = await randomFile(join(dir, "stored.bin"), SIZE);
  await within(async (scope) => {
    const { link } = await Shoal.seed(scope, tracker, [source]).event("sharing");
    for (let round = 0; round < ROUNDS; round += 1) {
      // Whoever comes first does so every other time.
      const stores = round % 2 === 0 ? ["files", "memory"] : ["memory", "files"];
      for (const store of stores) {
        const rate = await download(link, store);
        rates[store].push(rate);
        note(`${store}: ${inMib(rate)}/s`);
      }
    }
  });
  const [files, memory] = [median(rates.files), median(rates.memory)];
  table.atLeast(
    "download to files, of the speed of one to memory", files / memory, 0.9,
    `${inMib(files)}/s and ${inMib(memory)}/s, medians of ${ROUNDS}, ${inMib(SIZE)} from \`shoal seed\``,
  );
}

/** Returns bytes a second from the first percents on until all is verified, and flushed if it is in files. */
function download(link, store) {
  return withBrowser(async (browser) => {
    const url = new URL(link);
    if (store === "memory") url.searchParams.set("store", "memory");
    const page = await ShoalPage.openIn(browser, url.href);
    const timed = page.page.evaluate(() => new Promise((resolve, reject) => {
      let begin;
      const look = () => {
        const [now, bar] = [performance.now(), document.querySelector("[data-state] [role=progressbar]")];
        const percent = Number(bar?.getAttribute("aria-valuenow") ?? 0);
        if (percent >= 4) begin ??= { percent, now };
        if (!document.querySelector("[data-state=complete]")) return;
        if (begin) resolve({ begin, seconds: (now - begin.now) / 1000 });
        else reject(new Error("it was complete before the bar was seen to move"));
      };
      new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributes: true });
    }));
    await page.confirm();
    const { begin, seconds } = await timed;
    page.unharmed();
    assert.equal(await page.stored() >= SIZE, store === "files", `the download lies in ${store}`);
    return (SIZE * (1 - begin.percent / 100)) / seconds;
  });
}
