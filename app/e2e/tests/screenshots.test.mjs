// Pictures for people to look at: the README's, and the page on a phone in the dark. Also that a narrow
// page does not scroll sideways.
import assert from "node:assert/strict";
import { mkdir, truncate, writeFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { join } from "node:path";

import { MIB, randomFile, scratch } from "../lib/files.mjs";
import { Profile, ShoalPage, launchChromium } from "../lib/pages.mjs";
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
      const { have, pieces } = document.querySelector("[data-testid=piece-map]")?.dataset ?? {};
      return Number(have) > Number(pieces) * 0.55;
    }, undefined, { timeout: 120_000 });
  }

  await mkdir(shots, { recursive: true });
  await wide.page.screenshot({ path: join(shots, "page.png") });
  await narrow.page.screenshot({ path: join(shots, "narrow.png"), fullPage: true });
  await fits(narrow);
  for (const page of [seeder, wide, narrow]) page.unharmed();
});

test("a share that is being hashed and one that waits for permission fit them too", async (t) => {
  const dir = await scratch(t);
  const tracker = await startTracker(t);
  const profile = await Profile.make(t);
  await profile.launch();
  const page = await ShoalPage.openIn(profile, tracker.http);
  // Chromium asks again about a file that was dropped.
  await page.drop([await randomFile(join(dir, "Letters from my grandmother, 1938 to 1951.pdf"), MIB)]);
  await page.state(["seeding"]);
  await page.remembered();
  await page.reload();
  await page.interrupted();
  const path = join(dir, "All the pictures of the summer at the lake, in full size.zip");
  await writeFile(path, "");
  await truncate(path, 64 * 1024 * MIB);
  await page.id("file-input").setInputFiles([path]);
  await page.page.locator("[data-state=preparing] [data-figure=Left]").waitFor();

  await mkdir(shots, { recursive: true });
  for (const [name, width, colorScheme] of [["wide", 1100, "light"], ["narrow", 360, "dark"]]) {
    // Otherwise what is seen is on its way from the one to the other.
    await page.page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await page.page.setViewportSize({ width, height: 860 });
    await page.page.screenshot({ path: join(shots, `shares-${name}.png`), fullPage: true });
    await fits(page);
  }
  page.unharmed();
});

async function fits(page) {
  const sideways = await page.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(sideways <= 0, `the page is ${sideways} px too wide`);
}
