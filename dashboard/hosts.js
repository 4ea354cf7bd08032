// The hosts of a pool: a field of tiles, one for each host, that turns gold as the version spreads; and a table of the
// same for reading, searching and screen readers.

import { html } from "./html.js";
import { useMemo, useState } from "./hooks.js";
import { When } from "./parts.js";
import { HostVerb } from "./tell.js";
import { STATES, aboutState, plural, whyAside } from "./words.js";
import { until } from "./time.js";

const ROOMY = 64, ROWS = 50;

export function HostField({ view, onPick, picked }) {
  const zones = useMemo(() => byZone(view.hosts), [view]);
  const roomy = view.hosts.length <= ROOMY;
  const ill = view.hosts.filter(isIll).length;
  const said = STATES.filter((state) => view.states[state]).map((state) => `${view.states[state]} ${state}`).join(", ");
  return html`
    <div class="field ${roomy ? "roomy" : view.hosts.length <= 300 ? "close" : "dense"}" role="img"
      aria-label=${`${plural(view.hosts.length, "host")}: ${said}${ill ? `; ${ill} in service and not well` : ""}. The table below lists them.`}>
      ${zones.map(([zone, hosts]) => html`
        <div class="zone" key=${zone}>
          <span class="name">${zone ? `zone ${zone}` : "no zone"}</span>
          <div class="tiles">
            ${hosts.map((host) => html`
              <i key=${host.name} class="tile ${host.state} ${isIll(host) ? "ill" : ""} ${host.power ? "off" : ""} ${picked && host.state !== picked ? "dim" : ""}"
                title=${titleOf(host)}>
                ${roomy && html`<b>${shortName(host.name)}</b><span>${host.sessions || ""}</span>`}
              </i>`)}
          </div>
        </div>`)}
    </div>
    <ul class="states">
      ${STATES.filter((state) => view.states[state]).map((state) => html`
        <li key=${state}>
          <button type="button" aria-pressed=${picked === state} title=${aboutState(state)}
            onClick=${() => onPick(picked === state ? "" : state)}>
            <i class="tile ${state}" aria-hidden="true"></i>${state} <b>${view.states[state]}</b>
          </button>
        </li>`)}
      ${ill > 0 && html`<li class="note soft"><i class="tile ill" aria-hidden="true"></i>not well <b>${ill}</b></li>`}
    </ul>`;
}

// `onTell` gets what is to be told of a host; without it the hosts are only shown.
export function HostTable({ view, picked, onTell }) {
  const [wanted, setWanted] = useState("");
  const [all, setAll] = useState(false);
  const word = wanted.trim().toLowerCase();
  const found = view.hosts.filter((host) =>
    (!picked || host.state === picked) &&
    (!word || [host.name, host.state, host.version, host.why].some((text) => (text ?? "").toLowerCase().includes(word))));
  const shown = all ? found : found.slice(0, ROWS);
  return html`
    <div class="tablehead">
      <label><span class="sr">Find hosts by name, state, version or trouble</span>
        <input type="search" placeholder="Find a host" value=${wanted} onInput=${(event) => setWanted(event.target.value)} />
      </label>
      <span class="soft" role="status">${picked ? `${picked}: ` : ""}${plural(found.length, "host")}</span>
    </div>
    <div class="scroll" tabindex="0" role="region" aria-label="Session hosts">
      <table>
        <thead><tr>
          <th scope="col">Host</th><th scope="col">State</th><th scope="col">Version</th>
          <th scope="col" class="number">Sessions</th><th scope="col">Zone</th><th scope="col">Note</th>
          ${onTell && html`<th scope="col"><span class="sr">What to tell the rollout</span></th>`}
        </tr></thead>
        <tbody>
          ${shown.map((host) => html`
            <tr key=${host.name}>
              <th scope="row">${host.name}</th>
              <td><span class="state"><i class="tile ${host.state}" aria-hidden="true"></i>${host.state}</span></td>
              <td>${host.version}</td>
              <td class="number">${host.sessions ?? 0}</td>
              <td>${host.zone}</td>
              <td>${noteOf(host)}${host.deadline && html`leave by <${When} at=${host.deadline} /> <span class="soft">${until(host.deadline)}</span>`}</td>
              ${onTell && html`<td><${HostVerb} host=${host} onTell=${onTell} /></td>`}
            </tr>`)}
        </tbody>
      </table>
    </div>
    ${found.length > shown.length && html`
      <button type="button" class="quiet" onClick=${() => setAll(true)}>Show all ${found.length}</button>`}`;
}

// Of a host that somebody should be able to work on: AVD says that something is wrong with it.
const isIll = (host) => host.why && !host.power && ["Outdated", "Steered", "Draining", "Current"].includes(host.state);

const HELD_BY_US = new Set(["Steered", "Draining", "Verifying", "Quarantined", "Retained"]);

// What the rollout has been told of a host and has not done yet.
const TOLD = { skip: "to be skipped when the rollout looks next", retry: "to be retried when the rollout looks next" };

function noteOf(host) {
  const notes = [whyAside(host.why), host.power, TOLD[host.told]];
  if (host.drained && !HELD_BY_US.has(host.state)) notes.push("drain mode, not by Goldroll");
  const text = notes.filter(Boolean).join(", ");
  return text && host.deadline ? `${text}; ` : text;
}

function titleOf(host) {
  const lines = [`${host.name}: ${host.state}`, `${host.version || "unknown version"}, ${plural(host.sessions ?? 0, "session")}`];
  if (host.deadline) lines.push(`people leave ${until(host.deadline)}`);
  return [...lines, noteOf({ ...host, deadline: "" })].filter(Boolean).join("\n");
}

const shortName = (name) => /\d+$/.exec(name)?.[0] ?? name.slice(-4);

function byZone(hosts) {
  const zones = new Map();
  for (const host of hosts) {
    const zone = host.zone ?? "";
    if (!zones.has(zone)) zones.set(zone, []);
    zones.get(zone).push(host);
  }
  return [...zones].sort(([one], [other]) => one.localeCompare(other));
}
