// The page: who is signed in, what is looked at, and what is known of it.

import { html } from "./html.js";
import { useEffect, useMemo, useReducer, useState } from "./hooks.js";
import { render } from "./preact.js";
import { forgetKey, hasKey, keepKey, takeKeyFromAddress } from "./api.js";
import { HostField, HostTable } from "./hosts.js";
import { Badge, Empty, Fact, Loading, Read, Section, Slots, Trouble } from "./parts.js";
import { Rail } from "./rail.js";
import { RolloutView, useLivePool } from "./rollout.js";
import { forgetAll, listOfRollouts, rarely, refreshAll, slowly, useSource } from "./sources.js";
import { StartDialog } from "./start.js";
import { TellDialog, offeredBy } from "./tell.js";
import { isOver, phaseWord, plural } from "./words.js";

takeKeyFromAddress();

// #/rollouts/<id>[/<pool>], #/pools/<name>; ?rollout=<id> is what notifications link to.
function routeOf() {
  const parts = location.hash.replace(/^#\/?/, "").split("/").map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return "";
    }
  });
  if (parts[0] === "rollouts" && parts[1]) return { view: "rollout", rollout: parts[1], pool: parts[2] ?? "" };
  if (parts[0] === "pools" && parts[1]) return { view: "pool", pool: parts[1] };
  const linked = new URLSearchParams(location.search).get("rollout");
  if (linked && !location.hash) return { view: "rollout", rollout: linked, pool: "" };
  return { view: "home" };
}

function useRoute() {
  const [route, setRoute] = useState(routeOf);
  useEffect(() => {
    const follow = () => setRoute(routeOf());
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, []);
  return route;
}

// Spans such as "in 4 min" move on although nothing has changed.
function useTick(every) {
  const [, tick] = useReducer((count) => count + 1, 0);
  useEffect(() => {
    const timer = setInterval(() => document.hidden || tick(), every);
    return () => clearInterval(timer);
  }, []);
}

function App() {
  const route = useRoute();
  useTick(1000);
  const pools = useSource("pools", slowly), rollouts = useSource("rollouts", slowly, listOfRollouts);
  const description = useSource(rollouts.data ? "openapi.json" : null, rarely);
  const offered = useMemo(() => offeredBy(description.data), [description.data]);
  const [telling, setTelling] = useState(null);
  const [starting, setStarting] = useState(null);
  const [told, setTold] = useState("");
  const locked = [pools, rollouts].some((source) => source.problem?.status === 401);
  const shown = route.view === "home" ? newest(rollouts.data?.rollouts) : route.rollout;
  useEffect(() => {
    if (!told) return undefined;
    const timer = setTimeout(() => setTold(""), 12_000);
    return () => clearTimeout(timer);
  }, [told]);
  const rollout = rollouts.data?.rollouts?.find((one) => one.id === shown);
  const title = route.view === "pool" ? route.pool : rollout ? `${phaseWord(rollout.phase)} ${rollout.version}` : "";
  useEffect(() => {
    document.title = title ? `${title} · Goldroll` : "Goldroll";
  }, [title]);
  if (locked) return html`<${Top} pools=${pools} /><${Door} problem=${pools.problem ?? rollouts.problem} />`;
  return html`
    <a class="skip" href="#main" onClick=${skip}>Skip to what is shown</a>
    <${Top} pools=${pools} />
    <div class="page ${route.view === "home" ? "home" : "near"}">
      <${Rail} pools=${pools} rollouts=${rollouts} route=${{ ...route, rollout: shown }} onStart=${setStarting} />
      <main id="main" tabindex="-1">
        ${route.view !== "home" && html`<a class="back" href="#/">All host pools</a>`}
        ${route.view === "pool" ? html`<${PoolPage} key=${route.pool} name=${route.pool} pools=${pools} />`
          : shown ? html`<${RolloutView} key=${shown} id=${shown} pool=${route.pool} offered=${offered} onTell=${setTelling} />`
          : rollouts.data ? html`
            <${Empty} title="Nothing has been rolled out yet">
              When an image version is published, it appears here by itself.
            </${Empty}>`
          : !rollouts.problem && html`<${Loading} what="the newest rollout" />`}
      </main>
    </div>
    <div class="toast" role="status">${told && html`<p>${told}</p>`}</div>
    <${Announcer} rollout=${rollout} />
    ${telling && html`<${TellDialog} telling=${telling} onClose=${() => setTelling(null)} onTold=${setTold} />`}
    ${starting && html`<${StartDialog} images=${starting} onClose=${() => setStarting(null)} onTold=${setTold} />`}`;
}

function skip(event) {
  event.preventDefault();
  document.getElementById("main").focus();
}

const newest = (rollouts) => (rollouts?.find((one) => !isOver(one.phase)) ?? rollouts?.[0])?.id;

// Who cannot see the phase change hears of it.
const Announcer = ({ rollout }) => html`
  <div class="sr" role="status">${rollout ? `Rollout of ${rollout.version}: ${phaseWord(rollout.phase)}` : ""}</div>`;

function Top({ pools }) {
  const lost = pools.problem && pools.problem.status !== 401;
  const wait = lost && pools.nextAt ? Math.max(0, Math.ceil((pools.nextAt - Date.now()) / 1000)) : 0;
  const late = pools.seenAt ? Math.round((Date.now() - pools.seenAt) / 1000) : 0;
  return html`
    <header class="top">
      <h1><a href="#/"><svg viewBox="0 0 32 32" aria-hidden="true"><path d="M16 16.5a2.500 2.500 0 0 1 2.500 2.500c0 2.500-2 4-4.500 4a6.500 6.500 0 0 1-6-6.500C8 12 11.600 8.500 16 8.500c5 0 8.500 3.800 8.500 8.500V29" /><path d="M3 16.500C3 9.500 8.800 3.500 16 3.500" /></svg>Goldroll</a></h1>
      <span class="live ${lost ? "bad" : ""}">
        <i class="dot ${lost ? "bad" : "done"}" aria-hidden="true"></i>
        ${lost ? `no answer, asking again ${wait ? `in ${wait} s` : "now"}` : !pools.seenAt ? "connecting" : late > 15 ? `seen ${late} s ago` : "live"}
      </span>
      <span class="utc soft">times in UTC</span>
      ${hasKey() && html`<button type="button" class="quiet" onClick=${leave}>Forget the key</button>`}
    </header>`;
}

function leave() {
  forgetKey();
  forgetAll();
  refreshAll();
}

// Asks for the function key. It stays in this tab and is gone with it.
function Door({ problem }) {
  const [key, setKey] = useState("");
  function enter(event) {
    event.preventDefault();
    if (!key.trim()) return;
    keepKey(key);
    setKey("");
    refreshAll();
  }
  return html`
    <main class="door" id="main">
      <h2>Who is there?</h2>
      <p>${hasKey() ? "The app does not take this key." : problem?.code === "SignedOut" ? problem.message : "Goldroll's API asks for a function key of the app."}
        You find one in the portal, under App keys.</p>
      <form onSubmit=${enter}>
        <label for="key">Function key</label>
        <input id="key" type="password" autocomplete="off" spellcheck="false" value=${key} onInput=${(event) => setKey(event.target.value)} />
        <button type="submit" class="verb solid gold">Enter</button>
      </form>
      <p class="soft">It is kept in this tab only, sent to this app only, and forgotten when the tab is closed.</p>
    </main>`;
}

// A host pool as Azure shows it now, whatever rollout there was.
function PoolPage({ name, pools }) {
  const [picked, setPicked] = useState("");
  const live = useLivePool(name, false);
  const known = pools.data?.pools?.find((one) => one.pool === name);
  const view = live.data;
  return html`
    <article class="pool">
      <header>
        <div class="title"><h2>${name} <span class="soft">${known?.image ?? ""}${known?.ring ? `, ring ${known.ring}` : ""}</span></h2><${Badge} phase=${known?.phase} /></div>
        <p class="why">${known?.message || (known && !known.rollout ? "No rollout has worked on this host pool yet." : "")}</p>
        ${known?.rollout && html`<p class="when"><a href=${`#/rollouts/${encodeURIComponent(known.rollout)}/${encodeURIComponent(name)}`}>The rollout of ${known.version}</a>
          ${known.holder ? html`<span>holds the pool</span>` : html`<span class="soft">nobody holds the pool</span>`}
          ${known.waiting?.length > 0 && html`<span>${plural(known.waiting.length, "rollout waits", "rollouts wait")} for it</span>`}</p>`}
      </header>
      <${Trouble} source=${live} what="The host pool" />
      ${!view && !live.problem && html`<${Loading} what="the hosts" />`}
      ${view && html`
        <dl class="facts">
          <div class="fact wide"><dt>Session slots</dt><dd>
            <b>${view.slots.free} free</b> <span class="soft">${view.slots.reserve} stay free, ${view.slots.total} in all</span>
            <${Slots} total=${view.slots.total} free=${view.slots.free} reserve=${view.slots.reserve} /></dd></div>
          <${Fact} name="On outdated hosts">${plural(view.people.on_outdated, "person", "people")}</${Fact}>
          <${Fact} name="On current hosts">${plural(view.people.on_current, "person", "people")}</${Fact}>
          <${Fact} name="Sessions a host">at most ${view.session_limit}</${Fact}>
        </dl>
        <${Section} id="hosts" title="Session hosts" aside=${html`<${Read} source=${live} />`}>
          ${view.hosts.length ? html`<${HostField} view=${view} picked=${picked} onPick=${setPicked} />` : html`<${Empty} title="The host pool has no session hosts" />`}
        </${Section}>
        <${Section} id="list" title="All hosts"><${HostTable} view=${view} picked=${picked} /></${Section}>`}
    </article>`;
}

render(html`<${App} />`, document.getElementById("app"));
