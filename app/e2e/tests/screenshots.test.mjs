// Pictures for people to look at: the README's, and the page on a phone in the dark. Also that a narrow
// page does not scroll sideways.
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { after, before, test } from "node:test";
import { join } from "node:path";

import { MIB, randomFile, scratch } from "../lib/files.mjs";
import { ShoalPage, launchChromium } from "../lib/pages.mjs";
import { startTracker } from "../lib/processes.mjs";

let browser;
before(async () => (browser = await launchChromium()));
after(() => browser.close());

const shots = process.env.SHOAL_SHOTS ?? "shots";

test("a swarm of three pages fits a wide and a narrow screen", async (t) => {
  const dir = await scratch(t);
  const tracker = await startTracker(t);
  const source = await randomFile(join(dir, "Summer at the lake.mp4"), 24 * MIB);
  const seeder = await ShoalPage.open(t, browser, tracker.http);
  const link = await seeder.share([source]);
  await seeder.limitUpload("2M");
  const wide = await ShoalPage.open(t, browser, link, { viewport: { width: 1100, height: 860 } });
  const narrow = await ShoalPage.open(t, browser, link, {
    viewport: { width: 360, height: 780 }, colorScheme: "dark", isMobile: true,
  });
  await Promise.all([wide.confirm(), narrow.confirm()]);
  for (const page of [wide, narrow]) {
    await page.page.waitForFunction(() => {
      const { have, pieces } = document.querySelector("[data-testid=piece-map]").dataset;
      return Number(have) > Number(pieces) * 0.55;
    }, undefined, { timeout: 120_000 });
  }

  await mkdir(shots, { recursive: true });
  await wide.page.screenshot({ path: join(shots, "page.png") });
  await narrow.page.screenshot({ path: join(shots, "narrow.png"), fullPage: true });
  const sideways = await narrow.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(sideways <= 0, `the narrow page is ${sideways} px too wide`);
  for (const page of [seeder, wide, narrow]) page.unharmed();
});
