// What every figure of the page needs: programs and browsers that are gone afterwards, and what lies in
// the middle.
import { MIB } from "../lib/files.mjs";
import { Profile } from "../lib/pages.mjs";

/** Sizes of files: one that is small, and one whose size must not show. */
export const SMALL = 64 * MIB;
export const BIG = bytes(process.env.SHOAL_BENCH_BIG ?? "1G");

/** How often what is compared takes turns. */
export const ROUNDS = Number(process.env.SHOAL_BENCH_ROUNDS ?? 5);

/** Does work that leaves things behind, as a test does, with `after` for putting them away. */
export async function within(work) {
  const last = [];
  try {
    return await work({ after: (end) => last.push(end) });
  } finally {
    // One that fails must not keep the others from ending, for a process that goes on keeps this one alive.
    const faults = [];
    for (const end of last.reverse()) {
      try {
        await end();
      } catch (fault) {
        faults.push(fault);
      }
    }
    faults.forEach((fault) => note(`left behind: ${fault}`));
  }
}

/** The same in a browser that nobody has used before, with a profile on disk, as people have. */
export function withBrowser(work) {
  return within(async (scope) => {
    const browser = await Profile.make(scope);
    await browser.launch();
    return work(browser, scope);
  });
}

export function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export function inMib(bytes) {
  return `${Math.round(bytes / MIB)} MiB`;
}

/** Says what is going on, beside the table. */
export function note(text) {
  console.error(`  ${text}`);
}

function bytes(text) {
  const [, number, unit] = text.match(/^(\d+)([MG])$/) ?? [];
  if (!number) throw new Error(`SHOAL_BENCH_BIG is ${text}: a size such as 256M or 1G is wanted`);
  return number * (unit === "G" ? 1024 * MIB : MIB);
}
