// The web page as a person uses it, through the names that the README promises to outside programs.
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { chromium } from "playwright-core";

/** Starts Chromium for one test file. */
export function launchChromium() {
  return chromium.launch({
    executablePath: process.env.SHOAL_CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync",
    ],
  });
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

  constructor(page) {
    this.page = page;
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

  complete(seconds) {
    return this.state(["complete"], seconds);
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

  /** Saves by an ordinary download into `dir`; returns the path. */
  async save(dir) {
    await mkdir(dir, { recursive: true });
    const [download] = await Promise.all([
      this.page.waitForEvent("download", { timeout: 60_000 }),
      this.id("save").click(),
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
