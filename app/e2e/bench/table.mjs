// The figures, beside what they have to be.

/** What is to be printed at the end. */
export class Table {
  #rows = [["figure", "measured", "goal", "", "of"]];

  /** Adds a ratio that has to be so large. */
  atLeast(figure, ratio, goal, of) {
    this.#add(figure, ratio.toFixed(2), `≥ ${goal}`, ratio >= goal, of);
  }

  /** Adds a difference in MiB that may be so large. */
  atMost(figure, mib, goal, of) {
    this.#add(figure, `${Math.round(mib)} MiB`, `≤ ${goal} MiB`, mib <= goal, of);
  }

  #add(figure, value, goal, isMet, of) {
    this.#rows.push([figure, value, goal, isMet ? "met" : "MISSED", of]);
  }

  toString() {
    const widths = this.#rows[0].map((_, column) => Math.max(...this.#rows.map((row) => row[column].length)));
    const line = (row) => row.map((cell, column) => cell.padEnd(widths[column])).join("  ").trimEnd();
    return this.#rows.map(line).join("\n");
  }
}
