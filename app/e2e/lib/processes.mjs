// The programs under test, each a process of its own: the tracker and `shoal`.
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pipeline } from "node:stream";
import { createServer } from "node:tls";
import { promisify } from "node:util";

const bin = process.env.SHOAL_BIN_DIR;
const web = process.env.SHOAL_WEB_DIR;
if (!bin || !web) throw new Error("SHOAL_BIN_DIR and SHOAL_WEB_DIR must be set: run scripts/test");

/** A child process whose standard output is read by the line. It dies with the test. */
export class Program {
  constructor(test, command, args, options = {}) {
    this.name = `${command} ${args[0] ?? ""}`.trim();
    this.lines = [];
    this.stderr = "";
    this.waiters = new Set();
    this.child = spawn(`${bin}/${command}`, args, {
      stdio: ["ignore", "pipe", "pipe"],
      ...options,
      env: { ...process.env, ...options.env },
    });
    this.child.stderr.on("data", (data) => (this.stderr += data));
    createInterface({ input: this.child.stdout }).on("line", (line) => {
      this.lines.push(line);
      for (const waiter of this.waiters) waiter();
    });
    this.exited = once(this.child, "close").then(([code, signal]) => {
      this.exit = { code, signal };
      for (const waiter of this.waiters) waiter();
      return this.exit;
    });
    test.after(() => this.stop("SIGKILL"));
  }

  /** Waits for the first line for which `find` returns something; returns that. */
  line(find, what, seconds = 60) {
    return new Promise((resolve, reject) => {
      const look = () => {
        for (const line of this.lines) {
          const found = find(line);
          if (found !== undefined && found !== false && found !== null) return done(resolve, found);
        }
        if (this.exit) done(reject, this.failure(`ended before it printed ${what}`));
      };
      const done = (settle, value) => {
        clearTimeout(timer);
        this.waiters.delete(look);
        settle(value);
      };
      const timer = setTimeout(() => done(reject, this.failure(`did not print ${what}`)), seconds * 1000);
      this.waiters.add(look);
      look();
    });
  }

  failure(what) {
    const tail = this.lines.slice(-5).join("\n");
    if (this.exit) what += ` (exit ${this.exit.code ?? this.exit.signal})`;
    return new Error(`${this.name} ${what}\nlast lines:\n${tail}\nstderr:\n${this.stderr.slice(-2000)}`);
  }

  async stop(signal = "SIGTERM") {
    if (!this.exit) this.child.kill(signal);
    return this.exited;
  }
}

/** Starts a tracker that also serves the page. `port` 0 picks one. */
export async function startTracker(test, port = 0) {
  const tracker = new Program(test, "shoal-tracker", [
    "--listen", `127.0.0.1:${port}`, "--web", web, "--ice", "none",
  ]);
  tracker.http = await tracker.line((line) => line.match(/^listening on (http:\S+)$/)?.[1], "its address");
  tracker.announce = `${tracker.http.replace(/^http/, "ws")}/announce`;
  tracker.port = Number(new URL(tracker.http).port);
  return tracker;
}

/**
 * Puts TLS in front of a tracker, as a reverse proxy does; returns the `wss:` address and the file of
 * the certificate that clients must trust.
 */
export async function startTls(test, tracker, dir) {
  const [key, certificate] = [join(dir, "tls.key"), join(dir, "tls.crt")];
  await promisify(execFile)("openssl", [
    "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
    "-subj", "/CN=Shoal test", "-addext", "subjectAltName=DNS:localhost",
    "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", key, "-out", certificate,
  ]);
  const [keyText, certificateText] = await Promise.all([readFile(key), readFile(certificate)]);
  const server = createServer({ key: keyText, cert: certificateText }, (socket) => {
    const inner = connect(tracker.port, "127.0.0.1");
    // Either end may go away at any time.
    pipeline(socket, inner, socket, () => {});
  });
  // A client that does not trust us hangs up.
  server.on("tlsClientError", () => {});
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  test.after(() => server.close());
  return { announce: `wss://localhost:${server.address().port}/announce`, certificate };
}

/** `shoal … --json`: its lines are events. */
export class Shoal extends Program {
  constructor(test, args, options) {
    super(test, "shoal", [...args, "--json"], options);
  }

  /** Waits for an event of this name that `matches`. */
  event(name, matches = () => true, seconds = 60) {
    return this.line((line) => {
      const event = JSON.parse(line);
      return event.event === name && matches(event) ? event : undefined;
    }, `event ${name}`, seconds);
  }

  /** The newest event of this name, if any. */
  latest(name) {
    return this.lines.map((line) => JSON.parse(line)).findLast((event) => event.event === name);
  }

  static seed(test, tracker, paths, args = []) {
    return new Shoal(test, ["seed", ...paths, "--tracker", tracker.announce, ...args]);
  }

  static get(test, link, out, args = []) {
    return new Shoal(test, ["get", link, "--out", out, ...args]);
  }
}
