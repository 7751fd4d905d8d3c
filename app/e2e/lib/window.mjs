// The desktop window as a person uses it: a real window on a virtual screen. WebKit's inspector gives
// the same DOM names that the page has.
import { execFile, spawn } from "node:child_process";
import { createServer } from "node:net";
import { once } from "node:events";
import { promisify } from "node:util";
import WebSocket from "ws";

import { scratch } from "./files.mjs";
import { Program } from "./processes.mjs";

const poll = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Asks `probe` again and again until it answers; its failures count as "not yet". */
async function until(probe, what, seconds) {
  const end = Date.now() + seconds * 1000;
  let fault;
  while (Date.now() < end) {
    try {
      const answer = await probe();
      if (answer) return answer;
    } catch (error) {
      fault = error;
    }
    await poll(50);
  }
  throw new Error(`${what} did not come in ${seconds} s${fault ? `: ${fault}` : ""}`);
}

/** Finds a port that is free now. */
async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** Starts a virtual screen; returns its name (`:7`). */
async function startScreen(test) {
  const screen = spawn("Xvfb", ["-displayfd", "3", "-screen", "0", "1280x900x24", "-nolisten", "tcp"], {
    stdio: ["ignore", "ignore", "ignore", "pipe"],
  });
  test.after(() => screen.kill());
  const [number] = await once(screen.stdio[3], "data");
  return `:${String(number).trim()}`;
}

/** The window of `shoal` without a subcommand. */
export class ShoalWindow {
  static async open(test, tracker, env = {}) {
    const display = await startScreen(test);
    const port = await freePort();
    // Torrents are remembered there, but not from one test to the next.
    const data = await scratch(test);
    const program = new Program(test, "shoal", [], {
      env: {
        DISPLAY: display,
        WEBKIT_INSPECTOR_HTTP_SERVER: `127.0.0.1:${port}`,
        SHOAL_TRACKER: tracker.announce,
        XDG_DATA_HOME: data,
        ...env,
      },
    });
    const window = new ShoalWindow(program, display);
    test.after(() => window.socket?.terminate());
    try {
      await until(() => window.attach(port), "the window's inspector", 60);
      await until(() => window.has("drop-zone"), "the drop zone", 60);
    } catch (error) {
      throw program.failure(`showed no window: ${error.message}`);
    }
    return window;
  }

  constructor(program, display) {
    this.program = program;
    this.display = display;
    this.next = 1;
    this.pending = new Map();
  }

  async attach(port) {
    // Only a page that the list names can be attached to: WebKit crashes on any other.
    const list = await (await fetch(`http://127.0.0.1:${port}/`)).text();
    const path = list.match(/socket\/\d+\/\d+\/WebPage/)?.[0];
    if (!path) throw new Error("no page is listed yet");
    const socket = new WebSocket(`ws://127.0.0.1:${port}/${path}`);
    await once(socket, "open");
    this.socket = socket;
    socket.on("message", (data) => this.receive(JSON.parse(data)));
    this.target = await until(() => this.target, "an inspector target", 5);
    return true;
  }

  receive(message) {
    if (message.method === "Target.targetCreated") this.target = message.params.targetInfo.targetId;
    if (message.method !== "Target.dispatchMessageFromTarget") return;
    const inner = JSON.parse(message.params.message);
    this.pending.get(inner.id)?.(inner);
    this.pending.delete(inner.id);
  }

  /** Evaluates an expression in the window; returns its value. */
  async evaluate(expression) {
    const id = this.next++;
    const answer = new Promise((resolve) => this.pending.set(id, resolve));
    const message = JSON.stringify({ id, method: "Runtime.evaluate", params: { expression, returnByValue: true } });
    this.socket.send(JSON.stringify({
      id: this.next++, method: "Target.sendMessageToTarget", params: { targetId: this.target, message },
    }));
    const { result, error } = await answer;
    if (error || result.wasThrown) throw new Error(JSON.stringify(error ?? result.result));
    return result.result.value;
  }

  has(id) {
    return this.evaluate(`!!document.querySelector('[data-testid="${id}"]')`);
  }

  text() {
    return this.evaluate("document.body.innerText");
  }

  async click(id) {
    await until(() => this.has(id), id, 60);
    await this.evaluate(`document.querySelector('[data-testid="${id}"]').click()`);
  }

  /** Types into an input the way a paste does: the value, then the event. */
  async fill(id, value) {
    await until(() => this.has(id), id, 60);
    await this.evaluate(`(() => {
      const input = document.querySelector('[data-testid="${id}"]');
      input.focus();
      input.value = ${JSON.stringify(value)};
      input.dispatchEvent(new Event("input", { bubbles: true }));
      input.dispatchEvent(new Event("change", { bubbles: true }));
    })()`);
  }

  value(id) {
    return this.evaluate(`document.querySelector('[data-testid="${id}"]').value`);
  }

  async state(states, seconds = 120) {
    try {
      await until(async () => states.includes(await this.evaluate(
        `document.querySelector('[data-testid="torrent"]')?.dataset.state`)), `state ${states}`, seconds);
    } catch (error) {
      throw new Error(`${error.message}; the window shows:\n${await this.text()}\n${this.program.stderr.slice(-2000)}`);
    }
  }

  /** Keeps a picture of the screen. */
  async screenshot(path) {
    await promisify(execFile)("import", ["-window", "root", path], {
      env: { ...process.env, DISPLAY: this.display },
    });
  }
}
