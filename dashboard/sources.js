// What is watched: each source asks again and again while somebody looks at it, and costs next to nothing when nothing
// has changed (ETag). It waits longer after each failure and where answers take long, and hardly asks at all while the
// page is hidden.

import { useEffect, useReducer } from "./hooks.js";
import { Problem, read } from "./api.js";

const HIDDEN = 60_000, LONGEST = 60_000, MOST_PAGES = 5;

// An app that takes a second to answer is asked ten seconds later: whoever watches takes a tenth of its time at most.
const REST = 10;

let pace = 3000;

// How often a rollout is asked about: a tenth of what a look at Azure is kept for, as the app tells.
export function setPace(keptSeconds) {
  pace = Math.min(5000, Math.max(1000, keptSeconds * 100));
}

// Lists are asked for less often, and what is over hardly changes any more.
export const slowly = () => 3 * pace;
export const rarely = () => 10 * pace;
export const briskly = () => pace;

class Source {
  constructor(ask) {
    this.ask = ask;
    this.data = undefined;
    this.problem = null;
    this.seenAt = 0;
    this.failures = 0;
    this.took = [0, 0];
    this.watchers = new Set();
    this.timer = 0;
    this.asking = false;
  }

  watch(watcher, every) {
    this.watchers.add(watcher);
    this.every = every;
    if (this.watchers.size === 1) this.refresh();
    return () => {
      this.watchers.delete(watcher);
      if (!this.watchers.size) clearTimeout(this.timer);
    };
  }

  async refresh() {
    clearTimeout(this.timer);
    if (this.asking) return;
    this.asking = true;
    const before = [this.data, this.problem?.message], asked = Date.now();
    try {
      const found = await this.ask(this.data);
      if (found !== null) this.data = found;
      this.problem = null;
      this.failures = 0;
      this.seenAt = Date.now();
    } catch (error) {
      if (!(error instanceof Problem)) console.error(error);
      this.problem = error instanceof Problem ? error : new Problem(0, "Broken", String(error));
      this.failures += 1;
    }
    this.asking = false;
    this.took = [this.took[1], Date.now() - asked];
    if (before[0] !== this.data || before[1] !== this.problem?.message) for (const tell of this.watchers) tell();
    this.plan();
  }

  plan() {
    if (!this.watchers.size) return;
    // A single slow answer, such as the first of an app that has to wake up, says nothing about the next one.
    const every = Math.max((this.every ?? briskly)(), REST * Math.min(...this.took));
    const delay = document.hidden ? HIDDEN : Math.min(LONGEST, every * 2 ** this.failures);
    this.nextAt = Date.now() + delay;
    this.timer = setTimeout(() => this.refresh(), delay);
  }
}

const sources = new Map();

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) refreshAll();
});

export function refreshAll() {
  for (const source of sources.values()) if (source.watchers.size) source.refresh();
}

// Everything that is known, for whoever signs out.
export function forgetAll() {
  for (const source of sources.values()) Object.assign(source, { data: undefined, problem: null, tag: undefined });
}

function sourceOf(key, makeAsk) {
  if (!sources.has(key)) sources.set(key, makeAsk());
  return sources.get(key);
}

function whole(path) {
  const source = new Source(async () => {
    const found = await read(path, source.tag);
    source.tag = found.tag;
    source.madeAt = Date.now() - found.age * 1000;
    return found.data;
  });
  return source;
}

// The rollouts there are, the newest first; a page of the list holds a hundred of them.
export const listOfRollouts = (path) => new Source(async () => {
  const found = [];
  let token = "";
  for (let pages = 0; pages < MOST_PAGES; pages += 1) {
    const { data } = await read(`${path}?limit=100${token && `&token=${encodeURIComponent(token)}`}`);
    found.push(...data.rollouts);
    token = data.next;
    if (!token) break;
  }
  return { rollouts: found.sort((one, other) => Date.parse(other.created) - Date.parse(one.created)) };
});

// A component's view of a source: {data, problem, seenAt, nextAt, refresh}. With path null nothing is asked.
export function useSource(path, every, make = whole) {
  const [, redraw] = useReducer((count) => count + 1, 0);
  const source = path === null ? NOTHING : sourceOf(path, () => make(path));
  useEffect(() => (path === null ? undefined : source.watch(redraw, every)), [source]);
  return source;
}

export const newSource = (ask) => new Source(ask);

const NOTHING = { data: undefined, problem: null, seenAt: 0, refresh() {} };
