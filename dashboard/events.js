// The record of a rollout: read on from where the page is, never from the start; and what is made of it.

import { read } from "./api.js";
import { newSource } from "./sources.js";

const PAGE = 500, MOST_PAGES = 60;

// A source whose data is {events, next}: every event so far, oldest first, and where to read on.
export const eventSource = (path) => newSource(async (known) => {
  let { events, next } = known ?? { events: [], next: "" };
  for (let pages = 0; pages < MOST_PAGES; pages += 1) {
    const { data } = await read(`${path}?limit=${PAGE}&after=${encodeURIComponent(next)}`);
    if (data.events?.length) events = events.concat(data.events);
    next = data.next ?? next;
    if (!data.more) break;
  }
  return events === known?.events ? null : { events, next };
});

const AS_STATE = { Steering: "Steered", Discarding: "Removing", GivingBack: "Outdated", Restoring: "Provisioning" };
const GONE = new Set(["Removed", "Gone", "Discarded"]);

// Each host's spans of one state, hosts in the order in which they were first touched:
// [{host, from, ends, spans: [{state, from, to, why}]}]. `end` is where time is now, or where the rollout ended.
export function hostSpans(events, pool, end) {
  const hosts = new Map();
  for (const event of events) {
    if (!event.host || !event.stage || (pool && event.pool && event.pool !== pool)) continue;
    const time = Date.parse(event.at);
    if (!hosts.has(event.host)) hosts.set(event.host, { host: event.host, from: time, spans: [] });
    const line = hosts.get(event.host), last = line.spans.at(-1);
    if (last && last.to === null) last.to = time;
    if (GONE.has(event.stage)) continue;
    const state = AS_STATE[event.stage] ?? event.stage;
    if (last && last.to === time && last.state === state) last.to = null;
    else line.spans.push({ state, from: time, to: null, why: event.message ?? "" });
  }
  for (const line of hosts.values()) for (const span of line.spans) span.to ??= Math.max(end, span.from);
  return [...hosts.values()].filter((line) => line.spans.length);
}

// What people read: one line for each sentence, the newest first.
export function sentences(events, pool) {
  const told = [];
  for (let at = events.length - 1; at >= 0; at -= 1) {
    const event = events[at];
    if (!event.message || (pool && event.pool && event.pool !== pool)) continue;
    // Where each host stood at the start is for the timeline; a thousand such sentences tell nobody anything.
    if (event.kind === "HostStageChanged" && event.stage === "Outdated" && event.message.includes(" is on ")) continue;
    // A pool and its rollout say the same at the end, and a phase may be told twice: once is enough.
    if (told.slice(-4).some((other) => other.message === event.message)) continue;
    told.push(event);
  }
  return told;
}

// What this page has seen itself, for an app that keeps no record: the same events, from when the page was opened.
const seen = new Map();

export function watch(rollout, pool, view, time) {
  const key = `${rollout}/${pool.pool}`;
  if (!seen.has(key)) seen.set(key, { from: time, states: new Map(), sentence: "", events: [] });
  const memory = seen.get(key), fresh = [];
  const tell = (event) => fresh.push({ number: memory.events.length + fresh.length, at: new Date(time).toISOString(), pool: pool.pool, ...event });
  if (pool.message && pool.message !== memory.sentence) tell({ message: memory.sentence = pool.message });
  const present = new Set();
  for (const host of view?.hosts ?? []) {
    present.add(host.name);
    if (memory.states.get(host.name) === host.state) continue;
    // A host that rests where it was when the page was opened has not been touched.
    if (memory.begun || !RESTING.has(host.state)) tell({ host: host.name, stage: host.state });
    memory.states.set(host.name, host.state);
  }
  if (view) {
    for (const host of memory.states.keys()) {
      if (present.has(host)) continue;
      memory.states.delete(host);
      tell({ host, stage: "Removed" });
    }
    memory.begun = true;
  }
  if (fresh.length) memory.events = memory.events.concat(fresh);
  return memory;
}

const RESTING = new Set(["Outdated", "Current", "Skipped"]);
