// Templates without a build step: htm makes elements of tagged text. Every value in a template becomes text or an
// attribute, never markup, whoever has named a host or written a reason.

import htm from "./htm.js";
import { h } from "./preact.js";

export const html = htm.bind(h);
