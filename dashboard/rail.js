// Everything at a glance: the host pools by image and ring, and the rollouts, the newest first.

import { html } from "./html.js";
import { Badge, Dot, Empty, Loading, Progress, Trouble, When, totalOf } from "./parts.js";
import { isOver, phaseWord, plural } from "./words.js";

const MOST_ROLLOUTS = 30;

export function Rail({ pools, rollouts, route, onStart }) {
  const list = pools.data?.pools;
  return html`
    <nav class="rail" aria-label="Host pools and rollouts">
      <${Trouble} source=${pools} what="The host pools" />
      <h2>Host pools</h2>
      ${!list && !pools.problem && html`<${Loading} what="host pools" />`}
      ${list && !list.length && html`<${Empty} title="The policy names no host pool" />`}
      ${list && byImage(list).map(([image, rings]) => html`
        <div class="image" key=${image}>
          <h3>${image}</h3>
          ${rings.map(([ring, members]) => html`
            <div class="ring" key=${ring}>
              ${ring && html`<h4>${ring}</h4>`}
              <ul>${members.map((pool) => html`<${PoolLink} key=${pool.pool} pool=${pool} route=${route} />`)}</ul>
            </div>`)}
        </div>`)}
      <div class="heading">
        <h2>Rollouts</h2>
        ${list?.length > 0 && html`<button type="button" class="quiet" onClick=${() => onStart([...new Set(list.map((pool) => pool.image))])}>Start a rollout</button>`}
      </div>
      <${Rollouts} source=${rollouts} route=${route} />
    </nav>`;
}

function PoolLink({ pool, route }) {
  const working = pool.phase && !isOver(pool.phase);
  return html`
    <li>
      <a href=${`#/pools/${encodeURIComponent(pool.pool)}`} aria-current=${route.pool === pool.pool && route.view === "pool" ? "page" : null}>
        <span class="line"><${Dot} phase=${pool.phase} /><b>${pool.pool}</b><span class="version">${pool.version}</span></span>
        ${totalOf(pool.counts) > 0 && html`<${Progress} counts=${pool.counts} />`}
        <span class="line soft">
          ${pool.trouble || phaseWord(pool.phase) || "no rollout yet"}
          ${pool.waiting?.length > 0 && html`<span>${plural(pool.waiting.length, "rollout waits", "rollouts wait")}</span>`}
          ${!working && pool.since && html`<${When} at=${pool.since} />`}
        </span>
      </a>
    </li>`;
}

function Rollouts({ source, route }) {
  const all = source.data?.rollouts;
  if (!all) return source.problem ? html`<${Trouble} source=${source} what="The list of rollouts" />` : html`<${Loading} what="rollouts" />`;
  if (!all.length) return html`
    <${Empty} title="No rollout yet">
      One starts when an image version is published to the gallery, or when you start it.
    </${Empty}>`;
  return html`
    <ul class="rollouts">
      ${all.slice(0, MOST_ROLLOUTS).map((rollout) => html`
        <li key=${rollout.id}>
          <a href=${`#/rollouts/${encodeURIComponent(rollout.id)}`} aria-current=${route.rollout === rollout.id ? "page" : null}>
            <span class="line"><b>${rollout.version}</b><span class="soft">${rollout.image}</span></span>
            <span class="line"><${Badge} phase=${rollout.phase} /><span class="soft"><${When} at=${rollout.created} /></span></span>
          </a>
        </li>`)}
    </ul>
    ${all.length > MOST_ROLLOUTS && html`<p class="soft">and ${all.length - MOST_ROLLOUTS} older ones</p>`}`;
}

// [[image, [[ring, [pool]]]]], everything in the order of the policy.
function byImage(pools) {
  const images = new Map();
  for (const pool of pools) {
    if (!images.has(pool.image)) images.set(pool.image, new Map());
    const rings = images.get(pool.image), ring = pool.ring ?? "";
    if (!rings.has(ring)) rings.set(ring, []);
    rings.get(ring).push(pool);
  }
  return [...images].map(([image, rings]) => [image, [...rings]]);
}
