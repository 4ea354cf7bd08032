// Telling a rollout something: what will happen is said before it is sent.

import { html } from "./html.js";
import { post } from "./api.js";
import { ReasonDialog } from "./dialog.js";
import { refreshAll } from "./sources.js";
import { isOver, plural } from "./words.js";

// Verbs that every app of ours has; of any other the API's own description says whether it has it.
const USUAL = ["approve", "reject", "pause", "resume", "rollback", "abort"];

export const offeredBy = (description) =>
  new Set([...USUAL, ...Object.keys(VERBS).filter((verb) => description?.paths?.[`/rollouts/{id}/${verb}`] || description?.paths?.[`/api/rollouts/{id}/${verb}`])]);

const UNDONE = new Set(["RolledBack", "RollingBack", "Refused", "Blocked", "Superseded"]);

// Of the offered verbs those that a rollout's phase allows; `pools` are its host pools as far as they are meant.
export function verbsFor(rollout, offered, pools) {
  const standing = rollout.command?.kind, done = isOver(rollout.phase);
  // A roll back is taken back by starting the version again.
  const back = !UNDONE.has(rollout.phase) && standing !== "roll_back" && !String(rollout.id).startsWith("back-") ? ["rollback"] : [];
  const ending = done || standing === "abort" || standing === "supersede" || standing === "roll_back";
  const answers = rollout.asked ? ["approve", "reject"] : [];
  const verbs = ending ? back : [...answers, ...(pools.some(waitsForAttempt) ? ["retry"] : []), standing === "pause" ? "resume" : "pause", ...back, "abort"];
  return verbs.filter((verb) => offered.has(verb));
}

// Something waits before it is tried again: Azure had no room, or a step has failed several times.
const waitsForAttempt = (pool) =>
  (pool.phase === "WaitingCapacity" && pool.reason !== "ReserveTooSmall") || /attempt \d+ failed/.test(pool.message ?? "");

const ENDING = new Set(["AbortedByOperator", "RollBackRequested", "NewerVersion"]);

// A host pool's rollout can be told of single hosts: it has not ended, and does not come to its end.
export function takesHostVerbs(rollout, pool, offered) {
  const ends = ["abort", "supersede", "roll_back"].includes(rollout.command?.kind) || ENDING.has(pool.reason);
  return offered.has("skip") && !ends && !isOver(rollout.phase) && !isOver(pool.phase);
}

const VERB_OF_STATE = { Outdated: "skip", Steered: "skip", Draining: "skip", Skipped: "retry", Quarantined: "retry" };

// What can be told of a host in its state, if anything can.
export const HostVerb = ({ host, onTell }) => {
  const verb = host.told ? "" : VERB_OF_STATE[host.state];
  return verb && html`
    <button type="button" class="quiet" aria-label=${`${VERBS[verb].label} ${host.name}`} onClick=${() => onTell({ verb, host })}>
      ${VERBS[verb].label}
    </button>`;
};

const VERBS = {
  approve: { label: "Approve", title: (about) => `Approve ring ${about.asked.ring}`, tone: "gold" },
  reject: { label: "Reject", title: (about) => `Reject ring ${about.asked.ring}`, tone: "bad" },
  pause: { label: "Pause", title: (about) => `Pause ${nameOf(about)}`, tone: "" },
  resume: { label: "Resume", title: (about) => `Resume ${nameOf(about)}`, tone: "gold" },
  rollback: { label: "Roll back", title: (about) => `Roll ${nameOf(about)} back`, tone: "bad" },
  skip: { label: "Skip", title: (about) => `Skip ${about.host.name}`, tone: "" },
  retry: { label: "Retry", title: (about) => (about.host ? `Retry ${about.host.name}` : `Retry what waits in ${nameOf(about)}`), tone: "gold" },
  abort: { label: "Abort", title: (about) => `Abort ${nameOf(about)} for good`, tone: "bad" },
};

export const Verbs = ({ rollout, pool, verbs, onTell, label }) => verbs.length > 0 && html`
  <div class="verbs" role="group" aria-label=${label}>
    ${verbs.map((verb) => html`
      <button key=${verb} type="button" class="verb ${VERBS[verb].tone}" onClick=${() => onTell({ verb, rollout, pool })}>
        ${VERBS[verb].label}
      </button>`)}
  </div>`;

// What will happen, in sentences with the numbers of this moment.
function consequences({ verb, rollout, pool, host }) {
  if (verb === "skip") return ofSkip(rollout, host);
  if (verb === "retry") return ofRetry(rollout, host);
  const pools = pool ? [pool] : rollout.pools ?? [];
  const sum = (pick) => pools.reduce((total, one) => total + (pick(one) ?? 0), 0);
  const making = sum((one) => ["Provisioning", "Joining", "Verifying"].reduce((n, stage) => n + (one.in_hand?.[stage] ?? 0), 0));
  const told = sum((one) => one.counts?.people_told), current = sum((one) => one.counts?.current);
  const finished = making ? `${plural(making, "host")} being made ${making === 1 ? "is" : "are"} finished and put into service.` : "";
  const stay = told ? `${plural(told, "person", "people")} asked to leave ${told === 1 ? "is" : "are"} told that they may stay.` : "";
  if (verb === "pause") return [
    `Nothing more begins in ${pool ? `pool ${pool.pool}` : "this rollout"} until somebody resumes it.`, finished, stay,
    "Nobody is asked to leave or signed out.",
  ];
  if (verb === "resume") return [
    "It goes on where it stands.", "People are asked to leave anew, with the whole grace period.",
  ];
  if (verb === "abort") return [
    "This cannot be taken back.", `What is done stays: ${plural(current, "host")} on ${rollout.version}.`, finished, stay,
    "Hosts that people were steered away from serve them again.",
    pool ? "" : "Pools and rings that have not begun are not touched.",
  ];
  if (verb === "rollback") return [
    `${plural(current, "host")} on ${rollout.version} ${current === 1 ? "gives" : "give"} way to the version before it, in a rollout of its own.`,
    isOver(rollout.phase) ? "" : "This rollout ends: what it has drained serves people again first.", stay,
    "Session slots, grace periods and the health budget hold as they always do.",
  ];
  if (verb === "approve") return [
    `Ring ${rollout.asked.ring} passes as soon as its other gates hold, and the next ring may begin.`,
    "Who has approved, and why, stands in the story.",
  ];
  return [
    `Ring ${rollout.asked.ring} fails, and the rollout ends as Halted: every later ring is blocked.`,
    "Hosts that are on the version stay on it.",
  ];
}

function ofSkip(rollout, host) {
  const people = host.sessions ? plural(host.sessions, "person", "people") : "";
  return [
    `The rollout of ${rollout.version} leaves ${host.name} alone: it stays on ${host.version || "its version"}.`,
    host.state === "Draining" && people && `${people} on it may stay; who was asked to leave is told so.`,
    host.state !== "Outdated" && "It takes new sign-ins again.",
    "The rollout goes on without it, and names it at its end.",
    "A retry takes it up again as long as the rollout runs.",
  ];
}

function ofRetry(rollout, host) {
  if (!host) return [
    "New hosts that Azure had no room for are asked for now, not at the next attempt.",
    "Steps that have failed are tried now, and their attempts are counted anew.",
  ];
  if (host.state === "Quarantined") return [
    `${host.name} must prove itself once more, like a new host; nobody gets to it before it has.`,
    "When it is well it serves people. When it is not, it is kept for investigation again.",
  ];
  return [
    `${host.name} is to be replaced with ${rollout.version} after all.`,
    host.sessions ? "People on it are steered away, and asked to leave with the whole grace period when its turn comes." : "Nobody is on it now.",
  ];
}

export function TellDialog({ telling, onClose, onTold }) {
  const verb = VERBS[telling.verb];

  async function send(reason) {
    const answers = telling.verb === "approve" || telling.verb === "reject";
    const host = telling.host ? { host: telling.host.name } : {};
    const about = answers ? { ring: telling.rollout.asked.ring } : telling.pool ? { pool: telling.pool.pool, ...host } : {};
    const told = await post(`rollouts/${encodeURIComponent(telling.rollout.id)}/${telling.verb}`, { reason, ...about });
    onTold(`${verb.label}: sent as ${told.by}. It takes effect before anything more begins.`);
    if (told.id && told.id !== telling.rollout.id) location.hash = `#/rollouts/${encodeURIComponent(told.id)}`;
    refreshAll();
  }

  return html`
    <${ReasonDialog} title=${verb.title({ ...telling.rollout, pool: telling.pool, host: telling.host })} label=${verb.label} tone=${verb.tone} onSend=${send} onClose=${onClose}>
      <ul>${consequences(telling).filter(Boolean).map((sentence) => html`<li key=${sentence}>${sentence}</li>`)}</ul>
    </${ReasonDialog}>`;
}

const nameOf = (about) => (about.pool ? `pool ${about.pool.pool}` : `the rollout of ${about.version}`);
