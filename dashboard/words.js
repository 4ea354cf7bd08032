// The words of phases and host states, and what they look like. An unknown word is shown as it is.

const PHASES = {
  Scheduled: ["Scheduled", "wait"],
  WaitingReplication: ["Waiting for replication", "wait"],
  WaitingWindow: ["Waiting for a window", "wait"],
  WaitingCapacity: ["Waiting for capacity", "warn"],
  WaitingGate: ["Waiting at a gate", "wait"],
  Canary: ["Canary", "work"],
  Baking: ["Baking", "work"],
  Rolling: ["Rolling", "work"],
  RollingBack: ["Rolling back", "warn"],
  Paused: ["Paused", "held"],
  Halted: ["Halted", "bad"],
  Aborted: ["Aborted", "over"],
  Superseded: ["Superseded", "over"],
  RolledBack: ["Rolled back", "over"],
  Succeeded: ["Succeeded", "done"],
  SucceededWithSkips: ["Succeeded with skips", "done"],
  Refused: ["Refused", "bad"],
  Blocked: ["Blocked", "bad"],
  Failed: ["Failed", "bad"],
  Waiting: ["Waiting", "wait"],
  Proving: ["Proving", "work"],
  Passed: ["Passed", "done"],
};

const FINAL = new Set([
  "Halted", "Aborted", "Superseded", "Succeeded", "SucceededWithSkips", "Refused", "Blocked", "Failed", "RolledBack",
]);

export const phaseWord = (phase) => PHASES[phase]?.[0] ?? phase ?? "";
export const toneOf = (phase) => PHASES[phase]?.[1] ?? "wait";
export const isOver = (phase) => FINAL.has(phase);

// Host states in the order in which a host goes through them: leaving ones are cool, arriving ones warm.
export const STATES = [
  "Outdated", "Steered", "Draining", "Removing", "Retained", "Provisioning", "Joining", "Verifying", "Current",
  "Quarantined", "Skipped",
];

// Why a host was set aside: a code, or who has skipped it and why.
export const whyAside = (why) => why?.replace(/^SkippedByOperator: /, "skipped by ");

const ABOUT = {
  Outdated: "on another version, untouched",
  Steered: "new sign-ins go elsewhere",
  Draining: "people are asked to leave",
  Removing: "being deleted",
  Retained: "kept, switched off",
  Provisioning: "the VM is being made",
  Joining: "joining directory and pool",
  Verifying: "must prove that it is well",
  Current: "in service on the version",
  Quarantined: "failed, kept for investigation",
  Skipped: "left alone",
};

export const aboutState = (state) => ABOUT[state] ?? "";

// The four parts of progress.
export const PARTS = [["current", "Current"], ["in_hand", "In hand"], ["outdated", "Outdated"], ["set_aside", "Set aside"]];

export const plural = (count, thing, things = `${thing}s`) => `${count} ${count === 1 ? thing : things}`;
