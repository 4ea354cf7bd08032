// One rollout: where it stands and why, what comes next, its rings and gates, and one of its host pools from near.

import { html } from "./html.js";
import { useMemo, useState } from "./hooks.js";
import { eventSource, hostSpans, sentences, watch } from "./events.js";
import { HostField, HostTable } from "./hosts.js";
import {
  Badge, Dot, Empty, Fact, Loading, Next, Progress, ProgressLegend, Read, Section, Slots, Trouble, When, totalOf,
} from "./parts.js";
import { briskly, rarely, setPace, useSource } from "./sources.js";
import { Verbs, takesHostVerbs, verbsFor } from "./tell.js";
import { Timeline } from "./timeline.js";
import { ago, now, span } from "./time.js";
import { isOver, phaseWord, plural, toneOf, whyAside } from "./words.js";

const FIRST_SENTENCES = 40;

export function RolloutView({ id, pool: wanted, offered, onTell }) {
  const source = useSource(`rollouts/${encodeURIComponent(id)}`, () => (isOver(source.data?.phase) ? rarely() : briskly()));
  const rollout = source.data;
  if (!rollout) return source.problem ? html`<${Trouble} source=${source} what="The rollout" />` : html`<${Loading} what="the rollout" />`;
  const pools = rollout.pools ?? [];
  const pool = pools.find((one) => one.pool === wanted) ?? chosen(pools);
  const sentence = pools.length === 1 && pool?.message ? pool.message : rollout.message;
  const over = isOver(rollout.phase);
  // A single pool says more precisely where it is than the whole does: Canary, Baking, WaitingCapacity.
  const phase = pools.length === 1 && !over && pool.phase ? pool.phase : rollout.phase;
  return html`
    <article class="rollout" aria-labelledby="rollout-title">
      <${Trouble} source=${source} what="The rollout" />
      <header>
        <div class="title">
          <h2 id="rollout-title">${rollout.version} <span class="soft">${rollout.image}</span></h2>
          <${Badge} phase=${phase} />
          <${Verbs} rollout=${rollout} verbs=${verbsFor(rollout, offered, pools)} onTell=${onTell} label="Tell this rollout" />
        </div>
        <p class="why ${toneOf(phase)}">${sentence || "It has just been started."}</p>
        <p class="when">
          ${over
            ? html`<span>Ended <${When} at=${rollout.updated} />, after ${span(Date.parse(rollout.updated) - Date.parse(rollout.created))}</span>`
            : html`<${Next} at=${pools.length === 1 ? pool?.next ?? rollout.next : rollout.next} doing="Looks again" />`}
          <span class="soft">Started <${When} at=${rollout.created} /> (${ago(rollout.created)})</span>
          ${rollout.compared?.map((sentence) => html`<span key=${sentence} class="soft">${sentence}</span>`)}
          ${rollout.freeze && html`<span>Frozen by ${rollout.freeze.by} until <${When} at=${rollout.freeze.until} />: ${rollout.freeze.reason}</span>`}
          ${rollout.command && html`<span>${phaseWord(WORD_OF[rollout.command.kind] ?? rollout.command.kind)} by ${rollout.command.by}${rollout.command.reason && `: ${rollout.command.reason}`}</span>`}
        </p>
      </header>
      <${Rings} rollout=${rollout} />
      <${Gates} gates=${rollout.gates} asked=${rollout.asked} />
      ${pools.length > 1 && html`<${Pools} rollout=${rollout} pool=${pool} />`}
      ${pool && html`<${PoolPart} key=${pool.pool} rollout=${rollout} pool=${pool} only=${pools.length === 1} offered=${offered} onTell=${onTell} />`}
    </article>`;
}

const WORD_OF = { pause: "Paused", abort: "Aborted", supersede: "Superseded", roll_back: "RollingBack" };

// The pool that most is going on in: one that halted, one at work, the first.
const chosen = (pools) =>
  pools.find((pool) => toneOf(pool.phase) === "bad") ?? pools.find((pool) => !isOver(pool.phase) && pool.counts) ?? pools[0];

const Rings = ({ rollout }) => {
  const rings = Object.entries(rollout.rings ?? {});
  return rings.length > 0 && html`
    <${Section} id="rings" title="Rings">
      <ol class="rings">
        ${rings.map(([name, phase]) => html`
          <li key=${name} class=${toneOf(phase)}><${Dot} phase=${phase} /><b>${name}</b><span>${phaseWord(phase)}</span></li>`)}
      </ol>
    </${Section}>`;
};

const GATE_WORDS = { SmokeTest: "Smoke test", Soak: "Soak", Approval: "Approval", Health: "Health", Query: "Query" };
const GATE_TONES = { closed: "wait", open: "work", passed: "done", failed: "bad" };

const Gates = ({ gates }) => gates?.length > 0 && html`
  <${Section} id="gates" title=${`Gates of ring ${gates[0].ring}`}>
    <div class="scroll" tabindex="0" role="region" aria-labelledby="gates">
      <table class="gates">
        <thead><tr><th scope="col">Gate</th><th scope="col">Stands at</th><th scope="col">Must be</th><th scope="col">Until</th></tr></thead>
        <tbody>
          ${gates.map((gate) => html`
            <tr key=${`${gate.kind} ${gate.name}`}>
              <th scope="row"><span class="state"><i class="dot ${GATE_TONES[gate.state] ?? "wait"}" aria-hidden="true"></i>${GATE_WORDS[gate.kind] ?? gate.kind} ${gate.name ?? ""}</span></th>
              <td>${gate.value || (gate.state === "closed" ? "opens when the ring's pools are done" : gate.state)} <span class="soft">${gate.value && gate.state}</span></td>
              <td>${gate.threshold}</td>
              <td>${gate.until && gate.state === "open" ? html`<${Next} at=${gate.until} />` : ""}</td>
            </tr>`)}
        </tbody>
      </table>
    </div>
  </${Section}>`;

const Pools = ({ rollout, pool }) => html`
  <${Section} id="pools" title="Host pools">
    <ul class="pools">
      ${rollout.pools.map((one) => html`
        <li key=${one.pool}>
          <a href=${`#/rollouts/${encodeURIComponent(rollout.id)}/${encodeURIComponent(one.pool)}`} aria-current=${one === pool ? "true" : null}>
            <span class="line"><b>${one.pool}</b><${Badge} phase=${one.phase} /></span>
            ${totalOf(one.counts) > 0 && html`<${Progress} counts=${one.counts} />`}
            <span class="soft">${one.message ?? ""}</span>
          </a>
        </li>`)}
    </ul>
  </${Section}>`;

function PoolPart({ rollout, pool, only, offered, onTell }) {
  const [picked, setPicked] = useState("");
  const live = useLivePool(pool.phase === "Scheduled" || pool.phase === "Blocked" ? null : pool.pool, isOver(pool.phase));
  const record = useSource(`rollouts/${encodeURIComponent(rollout.id)}/events`, isOver(pool.phase) ? rarely : briskly, eventSource);
  // Another rollout may have had the pool last, or none yet: then what Azure shows is not seen from this one's version.
  const view = live.data?.rollout === rollout.id ? live.data : undefined;
  const verbs = only ? [] : verbsFor({ ...pool, command: pool.phase === "Paused" ? { kind: "pause" } : null }, offered, [pool]);
  const onTellHost = takesHostVerbs(rollout, pool, offered) ? (told) => onTell({ ...told, rollout, pool }) : undefined;
  return html`
    <div class="pool">
      ${!only && html`
        <header class="title">
          <h2>${pool.pool}</h2><${Badge} phase=${pool.phase} />
          <${Verbs} rollout=${rollout} pool=${pool} verbs=${verbs} onTell=${onTell} label=${`Tell pool ${pool.pool}`} />
        </header>
        <p class="why small ${toneOf(pool.phase)}">${pool.message || "Its turn has not come."}</p>
        <p class="when"><${Next} at=${pool.next} doing="Looks again" /></p>`}
      ${totalOf(pool.counts) > 0 && html`
        <${Section} id="progress" title="Progress" aside=${html`<${ProgressLegend} counts=${pool.counts} />`}>
          <${Progress} counts=${pool.counts} bold />
          <${Numbers} pool=${pool} view=${view} />
        </${Section}>`}
      <${SetAside} pool=${pool} />
      <${Trouble} source=${live} what="The host pool" />
      ${view && html`
        <${Section} id="hosts" title="Session hosts" aside=${html`<${Read} source=${live} />`}>
          <${HostField} view=${view} picked=${picked} onPick=${setPicked} />
        </${Section}>`}
      <${Record} record=${record} rollout=${rollout} pool=${pool} view=${view} />
      ${view && html`
        <${Section} id="list" title="All hosts"><${HostTable} view=${view} picked=${picked} onTell=${onTellHost} /></${Section}>`}
    </div>`;
}

// A live look at a pool; how often is for the app to say, which reads Azure no more often either.
export function useLivePool(name, over) {
  const live = useSource(name === null ? null : `pools/${encodeURIComponent(name)}`, () => {
    const kept = (live.data?.kept_seconds ?? 2) * 1000;
    return Math.min(60_000, Math.max(1000, over ? 2 * kept : kept));
  });
  if (live.data) setPace(live.data.kept_seconds ?? 0);
  return live;
}

function Numbers({ pool, view }) {
  const counts = pool.counts ?? {}, over = isOver(pool.phase);
  const free = counts.free ?? 0, reserve = counts.reserve ?? 0;
  return html`
    <dl class="facts">
      <div class="fact wide">
        <dt>Session slots</dt>
        <dd>
          <b class=${free < reserve ? "short" : ""}>${free} free</b> <span class="soft">${reserve} stay free${view ? `, ${view.slots.total} in all` : ""}</span>
          <${Slots} total=${view?.slots.total} free=${free} reserve=${reserve} />
        </dd>
      </div>
      <${Fact} name="On outdated hosts">${plural(counts.people_on_outdated ?? 0, "person", "people")}</${Fact}>
      <${Fact} name="On current hosts">${plural(counts.people_on_current ?? 0, "person", "people")}</${Fact}>
      <${Fact} name="Asked to leave">${counts.people_told ?? 0}</${Fact}>
      <${Fact} name="Signed out by us" note=${pool.disconnected_sign_outs ? `and ${pool.disconnected_sign_outs} disconnected` : ""}>
        ${pool.forced_sign_outs ?? 0}
      </${Fact}>
      <${Fact} name="Signed out twice" tone=${pool.signed_out_twice ? "bad" : ""}>${pool.signed_out_twice ?? 0}</${Fact}>
      <${Fact} name=${over ? "Waves" : "Wave"}>${pool.wave ?? 0}</${Fact}>
    </dl>`;
}

const SetAside = ({ pool }) => {
  const hosts = [...Object.entries(pool.quarantined ?? {}), ...Object.entries(pool.skipped ?? {})];
  return hosts.length > 0 && html`
    <${Section} id="aside" title="Set aside">
      <ul class="aside">
        ${hosts.map(([host, why]) => html`
          <li key=${host}><i class="tile ${host in (pool.quarantined ?? {}) ? "Quarantined" : "Skipped"}" aria-hidden="true"></i><b>${host}</b> ${whyAside(why)}</li>`)}
      </ul>
    </${Section}>`;
};

function Record({ record, rollout, pool, view }) {
  // Time moves on between two events as well, but nobody sees less than half a minute of a day, and to draw a thousand
  // hosts anew every second would keep the browser busy.
  const over = isOver(rollout.phase), end = over ? Date.parse(rollout.updated) : Math.floor(now() / 30_000) * 30_000;
  const own = watch(rollout.id, pool, over ? undefined : view, now());
  const problem = record.data ? null : record.problem;
  if (!record.data && !problem) return html`<${Loading} what="the record" />`;
  if (problem?.status === 401) return null;
  // Its first event may only be on its way.
  const note = problem && !(problem.code === "NoSuchRollout" && !over) && html`
    <p class="note soft">${problem.status === 404 || problem.status === 409
      ? html`There is no record of this rollout. This is what the page has seen since <${When} at=${new Date(own.from).toISOString()} />, when it was opened.`
      : html`The record cannot be read now: ${problem.message}. This is what the page has seen itself.`}</p>`;
  const events = record.data?.events ?? own.events, start = record.data ? Date.parse(rollout.created) : Math.min(own.from, end);
  return html`
    <${History} events=${events} pool=${pool.pool} start=${start} end=${end} over=${over} note=${note} />
    <${Story} events=${events} pool=${pool.pool} />`;
}

function History({ events, pool, start, end, over, note }) {
  const lines = useMemo(() => hostSpans(events, pool, end), [events, pool, end]);
  return html`
    <${Section} id="timeline" title="Timeline">
      ${note}
      ${lines.length
        ? html`<${Timeline} lines=${lines} start=${start} end=${end} ended=${over} />`
        : html`<${Empty} title=${over ? "Nothing is known of its hosts" : "No host has been touched yet"} />`}
    </${Section}>`;
}

function Story({ events, pool }) {
  const [all, setAll] = useState(false);
  const told = useMemo(() => sentences(events, pool), [events, pool]);
  return html`
    <${Section} id="story" title="Story" aside=${html`<span class="soft">${plural(told.length, "sentence")}</span>`}>
      ${told.length ? html`
        <ol class="story" reversed>
          ${(all ? told : told.slice(0, FIRST_SENTENCES)).map((event) => html`
            <li key=${`${event.pool}/${event.number}`}><${When} at=${event.at} /><span>${event.message}</span></li>`)}
        </ol>` : html`<${Empty} title="Nothing has been told yet" />`}
      ${!all && told.length > FIRST_SENTENCES && html`
        <button type="button" class="quiet" onClick=${() => setAll(true)}>Show all ${told.length}</button>`}
    </${Section}>`;
}
