// The web page as a person uses it, through the names that the README promises to outside programs.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { chromium } from "playwright-core";

const chromiumOptions = {
  executablePath: process.env.SHOAL_CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
  ],
};

/** Starts Chromium for one test file. */
export function launchChromium() {
  return chromium.launch(chromiumOptions);
}

/** A browser that keeps things on disk, as people's do: a folder that is removed after the test. */
export class Profile {
  static async make(test) {
    const profile = new Profile();
    profile.dir = await mkdtemp(join(tmpdir(), "shoal-profile-"));
    test.after(async () => {
      // In this order: a browser that runs still writes.
      await profile.context?.close().catch(() => {});
      await rm(profile.dir, { recursive: true, force: true, maxRetries: 5 });
    });
    return profile;
  }

  /** Starts it, with what it has kept. */
  async launch() {
    this.context = await chromium.launchPersistentContext(this.dir, { ...chromiumOptions, acceptDownloads: true });
  }

  /** Ends all its processes at once. */
  async kill() {
    const closed = new Promise((resolve) => this.context.once("close", resolve));
    await promisify(execFile)("pkill", ["-KILL", "-f", "--", `--user-data-dir=${this.dir}`]);
    await closed;
  }
}

/** Reads a figure such as `8.39 MB`. */
function bytes(text) {
  const [value, unit] = text.split(" ");
  return Number(value) * 1000 ** ["B", "kB", "MB", "GB"].indexOf(unit);
}

/** One page in a browser context of its own. */
export class ShoalPage {
  /** Opens `address` (the tracker's page, or a web link). */
  static async open(test, browser, address, options = {}) {
    const context = await browser.newContext({ acceptDownloads: true, ...options });
    const page = new ShoalPage(await context.newPage());
    test.after(() => context.close());
    const url = new URL(address);
    url.searchParams.set("save", "download");
    await page.page.goto(url.href);
    await page.id("drop-zone").waitFor();
    return page;
  }

  /** Opens `address` in a browser that is a [`Profile`]. */
  static async openIn({ context }, address) {
    const page = new ShoalPage(await context.newPage());
    await page.goto(address);
    return page;
  }

  async goto(address) {
    const url = new URL(address);
    url.searchParams.set("save", "download");
    await this.page.goto(url.href);
    await this.id("drop-zone").waitFor();
  }

  /** Reloads the page in the middle of whatever it does. */
  async reload() {
    await this.page.reload();
    await this.id("drop-zone").waitFor();
  }

  constructor(page) {
    this.page = page;
    // Whoever leaves a page that is at work is asked.
    page.on("dialog", (dialog) => dialog.accept().catch(() => {}));
    this.faults = [];
    page.on("pageerror", (error) => this.faults.push(String(error)));
    page.on("console", (message) => {
      if (message.type() === "error" && /panicked/.test(message.text())) this.faults.push(message.text());
    });
  }

  id(name) {
    return this.page.getByTestId(name);
  }

  /** Shares files through the file input; returns the web link. */
  async share(paths) {
    await this.id("file-input").setInputFiles(paths);
    await this.state(["seeding"]);
    return this.id("share-link").inputValue();
  }

  /** Drops files and folders on the page, as a file manager does. */
  async drop(paths) {
    const { x, y, width, height } = await this.id("drop-zone").boundingBox();
    const session = await this.page.context().newCDPSession(this.page);
    for (const type of ["dragEnter", "dragOver", "drop"]) {
      await session.send("Input.dispatchDragEvent", {
        type, x: x + width / 2, y: y + height / 2,
        data: { items: [], files: paths, dragOperationsMask: 1 },
      });
    }
    await session.detach();
  }

  /** Pastes a link and confirms the download. */
  async paste(link) {
    await this.id("link-input").fill(link);
    await this.id("open-link").click();
    await this.confirm();
  }

  /** Confirms an opened link once its metainfo is there. */
  async confirm() {
    await this.id("start").click({ timeout: 60_000 });
  }

  /** Waits until the torrent is in one of these states. */
  async state(states, seconds = 120) {
    const wanted = states.map((state) => `[data-testid=torrent][data-state=${state}]`).join(",");
    try {
      await this.page.locator(wanted).waitFor({ timeout: seconds * 1000 });
    } catch {
      const text = await this.page.locator("body").innerText();
      throw new Error(`the page did not reach ${states} in ${seconds} s; it shows:\n${text}\n${this.faults.join("\n")}`);
    }
  }

  /** Notes every state that the torrent is in from now on; returns what tells them. */
  async watchStates() {
    await this.page.evaluate(() => {
      const card = document.querySelector("[data-testid=torrent]");
      globalThis.states = [card.dataset.state];
      const note = () => globalThis.states.push(card.dataset.state);
      new MutationObserver(note).observe(card, { attributeFilter: ["data-state"] });
    });
    return () => this.page.evaluate(() => globalThis.states);
  }

  complete(seconds) {
    return this.state(["complete"], seconds);
  }

  /** Waits for the card of an interrupted download; returns what it says. */
  async interrupted() {
    const status = this.page.locator("[data-testid=torrent][data-state=paused] [role=status]", { hasText: "Interrupted" });
    try {
      await status.waitFor({ timeout: 20_000 });
    } catch {
      const text = await this.page.locator("body").innerText();
      throw new Error(`no interrupted download; the page shows:\n${text}\n${this.faults.join("\n")}`);
    }
    return status.innerText();
  }

  /** Waits until so many percent are here. */
  async fetched(percent) {
    await this.page.waitForFunction((percent) => {
      const bar = document.querySelector("[role=progressbar]");
      return bar && Number(bar.getAttribute("aria-valuenow")) >= percent;
    }, percent, { timeout: 120_000 });
  }

  /** Bytes of all files that the browser keeps for the page. */
  stored() {
    return this.page.evaluate(async () => {
      const size = async (folder) => {
        let sum = 0;
        for await (const entry of folder.values()) {
          sum += entry.kind === "file" ? (await entry.getFile()).size : await size(entry);
        }
        return sum;
      };
      return size(await navigator.storage.getDirectory());
    });
  }

  /** Waits until the browser remembers a torrent, with what tells whether its files have changed. */
  async remembered() {
    await this.page.waitForFunction(async () => {
      const done = (request) => new Promise((resolve, reject) => {
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
      });
      const database = await done(indexedDB.open("shoal"));
      const store = database.transaction("torrents").objectStore("torrents");
      const records = (await done(store.getAll())).map(({ record }) => JSON.parse(new TextDecoder().decode(record)));
      database.close();
      return records.some(({ stamps }) => stamps.length > 0);
    }, undefined, { timeout: 30_000 });
  }

  /** Waits until the browser keeps nothing for the page. */
  async forgotten() {
    await this.page.waitForFunction(async () => {
      const root = await navigator.storage.getDirectory();
      for await (const top of root.values()) for await (const _ of top.keys()) return false;
      const done = (request) => new Promise((resolve, reject) => {
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
      });
      const database = await done(indexedDB.open("shoal"));
      const left = await done(database.transaction("torrents").objectStore("torrents").count());
      database.close();
      return left === 0;
    }, undefined, { timeout: 30_000 });
  }

  /** Lets the browser give the page's origin so many bytes, and no more. */
  async limitStorage(bytes) {
    this.devtools ??= await this.page.context().newCDPSession(this.page);
    const { origin } = new URL(this.page.url());
    await this.devtools.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: bytes });
  }

  /** Pieces that are here, of all. */
  async pieces() {
    const map = this.id("piece-map");
    return {
      have: Number(await map.getAttribute("data-have")),
      all: Number(await map.getAttribute("data-pieces")),
    };
  }

  /** Payload that this page has sent of the torrent, to three digits as it shows it. */
  async sentBytes() {
    return bytes(await this.page.locator("[data-figure=Sent] dd").innerText());
  }

  /** The same at the moment when it first sees another whole copy beside its own in the swarm. */
  async sentForFirstCopy() {
    const sent = await this.page.waitForFunction(() => {
      const figure = (name) => document.querySelector(`[data-figure=${name}] dd`)?.textContent;
      return Number(figure("Copies")) >= 2 && figure("Sent");
    }, undefined, { timeout: 300_000 });
    return bytes(await sent.jsonValue());
  }

  /** Sets this torrent's upload limit (a RATE: `0`, `500k`, `2M`, `none`). */
  async limitUpload(rate) {
    await this.id("upload-limit").fill(rate);
    await this.id("upload-limit").press("Enter");
  }

  /** Saves by an ordinary download into `dir`, all of it or what there is; returns the path. */
  async save(dir, button = "save") {
    await mkdir(dir, { recursive: true });
    const [download] = await Promise.all([
      this.page.waitForEvent("download", { timeout: 60_000 }),
      this.id(button).click(),
    ]);
    const path = join(dir, download.suggestedFilename());
    await download.saveAs(path);
    return path;
  }

  /** Fails if the page has panicked or thrown. */
  unharmed() {
    assert.deepEqual(this.faults, []);
  }
}
